"""What the shell offers on Tab: names of things that there are. Loaded where they are asked for."""

from collections.abc import Iterable
from pathlib import Path


def _beginning(names: Iterable[str], incomplete: str) -> list[str]:
    return [name for name in names if name.startswith(incomplete)]


def kinds(incomplete: str) -> list[str]:
    """Of `init`."""
    from benchsuite.draft import OFFERS

    return _beginning(OFFERS, incomplete)


def formats(incomplete: str) -> list[str]:
    """Of traces."""
    from benchsuite.workloads.conversion import FORMATS

    return _beginning(FORMATS, incomplete)


def listed(incomplete: str) -> list[str]:
    """Kinds of things that `list` knows."""
    from benchsuite.catalogue import catalogue

    return _beginning(catalogue(), incomplete)


def exports(incomplete: str) -> list[str]:
    """Formats of other tools that a run can be written in."""
    from benchsuite.results.exports import EXPORTS

    return _beginning(EXPORTS, incomplete)


def peers(incomplete: str) -> list[str]:
    """Tools whose definitions we have."""
    from benchsuite.metrics.peers import PEERS

    return _beginning(PEERS, incomplete)


def scenarios(incomplete: str) -> list[str]:
    """YAML files, and folders on the way to them."""
    folder, _, name = incomplete.rpartition("/")
    at = Path(folder or ("/" if incomplete.startswith("/") else "."))
    head = incomplete[: len(incomplete) - len(name)]
    found = sorted(at.iterdir()) if at.is_dir() else []
    return [
        f"{head}{path.name}{'/' if path.is_dir() else ''}"
        for path in found
        if path.name.startswith(name)
        and (path.suffix in (".yaml", ".yml") or (path.is_dir() and path.name[0] != "."))
    ]
