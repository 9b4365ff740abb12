"""What the commands share: exit codes, arguments that several take, where they print."""

import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, TypeVar

import typer

from benchsuite.cli import completing
from benchsuite.errors import ScenarioError

if TYPE_CHECKING:
    from rich.console import Console

T = TypeVar("T")
OK: Final = 0
INVALID: Final = 4
USAGE: Final = 2
INTERNAL: Final = 5
INTERRUPTED: Final = 130

ScenarioFile = Annotated[
    Path,
    typer.Argument(
        metavar="SCENARIO", help="A scenario, YAML.", autocompletion=completing.scenarios
    ),
]
RunFolder = Annotated[Path, typer.Argument(metavar="RUN", help="A run folder.")]
Overrides = Annotated[
    list[str],
    typer.Option("--set", metavar="KEY=VALUE", help="Override a value, e.g. --set arrivals.rate=4"),
]


def pairs_of(options: list[str], option: str = "--set") -> dict[str, str]:
    found = {}
    for text in options:
        key, mark, value = text.partition("=")
        if not mark:
            raise ScenarioError(f"{option} {text}: expected KEY=VALUE")
        found[key] = value
    return found


def one_of(known: Mapping[str, T], name: str, option: str) -> T:
    if name not in known:
        raise ScenarioError(f"{option} {name}: expected one of {', '.join(known)}")
    return known[name]


def new_console(*, stderr: bool = False) -> "Console":
    from rich.console import Console

    return Console(stderr=stderr)


def command_line() -> str:
    name = Path(sys.argv[0]).name
    started = ["python", "-m", "benchsuite"] if name == "__main__.py" else [name]
    words = [*started, *sys.argv[1:]]
    return shlex.join(words).encode(errors="backslashreplace").decode()  # a path may be any bytes


def exit_code(verdict: str, partial: str | None) -> int:
    if partial == "interrupted":
        return INTERRUPTED
    return OK if verdict == "valid" else INVALID
