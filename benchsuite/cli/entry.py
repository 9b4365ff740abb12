"""The `benchsuite` command: all commands, and what a failure looks like."""

import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from io import TextIOWrapper
from typing import Final

import typer

from benchsuite.cli import (
    calibrating,
    comparing,
    drafting,
    gating,
    listing,
    results,
    running,
    sweeping,
    workloads,
)
from benchsuite.cli.base import INTERNAL, INTERRUPTED, USAGE
from benchsuite.errors import BenchsuiteError

app = typer.Typer(
    name="benchsuite",
    help="Load an LLM server, time every token, and say how far the numbers can be trusted.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain help: laying it out with rich takes longer than all the rest
)
# as the help lists them
for family in (
    running,
    drafting,
    results,
    comparing,
    workloads,
    sweeping,
    gating,
    calibrating,
    listing,
):
    app.add_typer(family.commands)


# What the caller named is not there, or is something else; a full disk is another matter.
_OF_A_PATH: Final = (
    FileExistsError,
    FileNotFoundError,
    IsADirectoryError,
    NotADirectoryError,
    PermissionError,
)


@contextmanager
def _plain_errors() -> Iterator[None]:
    """A user's mistake prints without a traceback, with its own exit code."""
    try:
        yield
    except BenchsuiteError as error:
        sys.stderr.write(f"benchsuite: {error}\n")
        raise SystemExit(error.exit_code) from None
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        sys.stderr.write(f"benchsuite: {where}{error.strerror or error}\n")
        raise SystemExit(USAGE if isinstance(error, _OF_A_PATH) else INTERNAL) from None
    except KeyboardInterrupt:
        sys.stderr.write("benchsuite: interrupted\n")
        raise SystemExit(INTERRUPTED) from None
    except Exception:  # noqa: BLE001  the last floor: our own fault, told apart by its exit code
        traceback.print_exc()
        raise SystemExit(INTERNAL) from None


def main() -> None:
    """The `benchsuite` command."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal that has no ✓ shows a ?
    with _plain_errors():
        app()
