"""Command: compare."""

import sys
from pathlib import Path
from typing import Annotated, Final, Literal

import typer

from benchsuite.cli.base import OK, new_console
from benchsuite.errors import ScenarioError

commands = typer.Typer()
REGRESSED: Final = 98


@commands.command()
def compare(
    sides: Annotated[
        list[str],
        typer.Argument(
            metavar="A B...",
            help="Run folders, result.json, peers' files, folders of runs; several runs a side: "
            "A1 A2 vs B1 B2. All are held against the first. Or the folder of a gate.",
        ),
    ],
    metric: Annotated[
        list[str],
        typer.Option("--metric", metavar="NAME", help="What decides, as ttft_p99; several times."),
    ] = [],  # noqa: B006
    min_effect: Annotated[
        str, typer.Option("--min-effect", help="The least change that matters: 5%, or 0.05.")
    ] = "5%",
    html: Annotated[
        Path | None, typer.Option("--html", metavar="FILE", help="Write a page, too.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Compare what is not comparable.")] = False,
    fail_on: Annotated[
        Literal["worse"] | None,
        typer.Option("--fail-on", help="worse: exit code 98 if a metric that decides is."),
    ] = None,
) -> None:
    """Better, worse, equivalent or inconclusive: runs of one thing against runs of another.

    A run is one observation, however many requests it holds; one run a side is inconclusive. Exit
    code 2: the sides do not answer the same question, and --force was not given.
    """
    import tempfile

    import msgspec

    from benchsuite.comparison import comparable, page, terminal
    from benchsuite.comparison import compare as comparing
    from benchsuite.comparison import sides as reading
    from benchsuite.gate.quantities import share_below_1

    least = share_below_1(min_effect, f"--min-effect {min_effect}")

    with tempfile.TemporaryDirectory(prefix="benchsuite-") as scratch:
        found = [reading.side(words, Path(scratch)) for words in reading.grouped(sides)]
    differing = comparable.differences([[run.seen for run in side.runs] for side in found])
    refused = comparable.refusals(differing)
    if refused and not force:
        raise ScenarioError(
            "not comparable:\n"
            + "".join(f"  {reason}\n" for reason in refused)
            + "--force compares them nonetheless"
        )
    told = comparing.compare(found, differing, metrics=metric, min_effect=least)
    if html is not None:
        try:
            page.write(told, found, html)
        except OSError as error:
            raise ScenarioError(f"--html {html}: {error.strerror}") from error
    if as_json:
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(told)).decode() + "\n")
    else:
        terminal.show(told, new_console())
        if html is not None:
            new_console().print(f"Page: {html}", highlight=False, markup=False, soft_wrap=True)
    raise typer.Exit(REGRESSED if fail_on == "worse" and told.word == "worse" else OK)
