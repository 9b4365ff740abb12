"""What is to be fitted: a scenario's workload, or a trace file as it is."""

from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from benchsuite.endpoints import Endpoint
from benchsuite.endpoints.openai_chat import OpenAIChat
from benchsuite.errors import ScenarioError, TraceError
from benchsuite.scenario import load
from benchsuite.workloads import Trace, Workload, conversion
from benchsuite.workloads.formats import TraceFormat

_FIRST_ROWS: Final = 20  # that must be whole for a format to be the file's
_SCENARIOS: Final = (".yaml", ".yml")
_SERVER: Final = OpenAIChat(url="http://localhost:8000", model="my-model")


class Asked(NamedTuple):
    workload: Workload
    endpoint: Endpoint  # of the scenario; a server that has to be named, where there is none
    seed: int
    tokenizer: str


def read(path: Path, format_name: str | None, options: tuple[str, ...]) -> Asked:
    """`options`, KEY=VALUE, override the scenario, or are further keys of the file's format.

    Raises ScenarioError where no format reads the file.
    """
    if path.suffix in _SCENARIOS:
        scenario = load(path, options)
        return Asked(scenario.workload, scenario.endpoint, scenario.seed, scenario.tokenizer)
    source = guessed(path)
    if format_name is not None:
        pairs = dict(option.partition("=")[::2] for option in options)
        source = conversion.source(format_name, str(path), pairs)
    elif options:
        raise ScenarioError(f"--set {options[0]}: needs the format that has the key, with --from")
    if source is None:
        known = ", ".join(conversion.FORMATS)
        raise ScenarioError(f"{path}: no format reads it ({known}); name it with --from")
    return Asked(Trace(source=source), _SERVER, 0, "bundled")


def guessed(path: Path) -> TraceFormat | None:
    """The first format that reads the file and needs to be told nothing else. Several may: those
    with the field names of Mooncake differ in the unit of time."""
    if not path.is_file():
        raise ScenarioError(f"{path}: no such file")
    for name, kind in conversion.FORMATS.items():
        if _needs_a_file_alone(kind):
            try:
                source = conversion.source(name, str(path), {})
            except ScenarioError:  # it needs to be told more
                continue
            if _reads(source):
                return source
    return None


def _needs_a_file_alone(kind: type[TraceFormat]) -> bool:
    info = msgspec.inspect.type_info(kind)
    assert isinstance(info, msgspec.inspect.StructType)
    required = [one for one in info.fields if one.required]
    if [one.name for one in required] != ["path"]:
        return False
    found = required[0].type
    return isinstance(found, msgspec.inspect.Metadata) and bool((found.extra or {}).get("path"))


def _reads(source: TraceFormat) -> bool:
    try:
        rows = [row for row, _ in zip(source.rows(), range(_FIRST_ROWS), strict=False)]
    except TraceError:
        return False
    return bool(rows) and not any(isinstance(row, TraceError) for row in rows)
