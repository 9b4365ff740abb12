"""Commands that say what there is: list, schema."""

import sys
from typing import Annotated

import typer

from benchsuite.cli import completing
from benchsuite.cli.base import (
    new_console,
)

commands = typer.Typer()


@commands.command(name="list")
def list_(
    kind: Annotated[
        str | None,
        typer.Argument(
            help="One kind alone: arrivals, workloads, metrics ...",
            autocompletion=completing.listed,
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Every arrival process, workload, trace format, endpoint, policy and metric there is."""
    from benchsuite import catalogue

    if as_json:
        sys.stdout.write(catalogue.as_json(kind) + "\n")
    else:
        catalogue.show(new_console(), kind)


@commands.command()
def schema() -> None:
    """The JSON Schema of scenario files, for editors."""
    import msgspec

    from benchsuite.scenario import json_schema

    sys.stdout.write(msgspec.json.format(msgspec.json.encode(json_schema())).decode() + "\n")
