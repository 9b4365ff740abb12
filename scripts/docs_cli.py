"""Writes docs/cli.md from the commands themselves. A test asserts that the file is current."""

import argparse
from pathlib import Path
from typing import Final

import typer.main

import reference_engine.__main__ as engine_command
from benchsuite.cli import app

PATH: Final = Path(__file__).parents[1] / "docs" / "cli.md"
_WIDTH: Final = 88  # columns of a help text, whatever the terminal has

_INTRO: Final = """\
# Commands

Written by `scripts/docs_cli.py` from the commands themselves; change it there. `benchsuite --help`
lists them; a command with `--help` prints what stands here.

"""

_ENGINE: Final = """
## python -m reference_engine

Serves the [bundled engine](engine.md) over HTTP, by itself; needs the extra `engine`.

| flag | value | default | what |
|---|---|---|---|
"""


def page() -> str:
    """The whole page."""
    group = typer.main.get_group(app)
    names = list(group.commands)
    index = " \u00b7 ".join(f"[{name}](#benchsuite-{name})" for name in names)
    parts = [_command(name) for name in names]
    return "".join([_INTRO, index, "\n", *parts, _ENGINE, *_flags(engine_command._parser())])


def _command(name: str) -> str:
    """Heading, purpose, and the help text as the program prints it."""
    command = typer.main.get_group(app).commands[name]
    context = command.make_context(
        f"benchsuite {name}",
        [],
        resilient_parsing=True,
        terminal_width=_WIDTH,
        max_content_width=_WIDTH,
    )
    lines = (line.rstrip() for line in command.get_help(context).splitlines())
    return f"\n## benchsuite {name}\n\n```text\n" + "\n".join(lines).strip() + "\n```\n"


def _flags(parser: argparse.ArgumentParser) -> list[str]:
    """A row for each flag; not argparse's own page, which differs between versions of Python."""
    rows = []
    for action in parser._actions:
        if action.dest == "help":
            continue
        flag = ", ".join(f"`{one}`" for one in action.option_strings)
        choices = ", ".join(f"`{one}`" for one in action.choices or ())
        value = choices or (
            f"`{action.metavar or action.dest.upper()}`" if action.nargs != 0 else ""
        )
        default = "" if action.default in (None, False) else f"`{action.default}`"
        rows.append(f"| {flag} | {value} | {default} | {action.help or ''} |\n")
    return rows


if __name__ == "__main__":
    PATH.write_text(page(), encoding="utf-8")
    print(PATH)
