"""Commands over workloads, which send nothing: convert, describe, fit."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from benchsuite.cli import completing
from benchsuite.cli.base import (
    new_console,
    pairs_of,
)
from benchsuite.errors import ScenarioError

commands = typer.Typer()


@commands.command()
def convert(
    file: Annotated[str, typer.Argument(metavar="IN", help="A trace, or what its format reads.")],
    format_name: Annotated[
        str,
        typer.Option(
            "--from", metavar="FORMAT", help="Its format.", autocompletion=completing.formats
        ),
    ],
    to: Annotated[str, typer.Option("--to", help="The form to write: native.")] = "native",
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE", help="Where to; .gz packs. Default: the output."),
    ] = None,
    options: Annotated[
        list[str],
        typer.Option("--set", metavar="KEY=VALUE", help="A key of the format: --set domain=retail"),
    ] = [],  # noqa: B006  typer reads it and never changes it
    skip_bad_rows: Annotated[
        bool, typer.Option("--skip-bad-rows", help="Count broken rows; do not stop at one.")
    ] = False,
) -> None:
    """Write a trace of any known format in the native form, with all that it says."""
    from benchsuite.workloads import conversion

    if to != "native":
        raise ScenarioError(f"--to {to}: unknown form (known: native)")
    source = conversion.source(format_name, file, pairs_of(options))
    done = conversion.write(source, out, "skip" if skip_bad_rows else "fail")
    stderr = new_console(stderr=True)
    skipped = f"; {done.num_broken} broken skipped, the first: {done.first_broken}"
    text = f"{done.num_rows} requests{skipped if done.num_broken else ''}"
    stderr.print(text, highlight=False, soft_wrap=True, markup=False)


@commands.command()
def describe(
    target: Annotated[
        str, typer.Argument(metavar="SCENARIO|TRACE", help="A scenario (.yaml), or a trace.")
    ],
    format_name: Annotated[
        str,
        typer.Option(
            "--from",
            metavar="FORMAT",
            help="The format of a trace.",
            autocompletion=completing.formats,
        ),
    ] = "jsonl",
    options: Annotated[
        list[str],
        typer.Option("--set", metavar="KEY=VALUE", help="Of the scenario, or of the format."),
    ] = [],  # noqa: B006  typer reads it and never changes it
    cache_tokens: Annotated[
        list[int],
        typer.Option("--cache-tokens", metavar="N", help="Prefix hits of such a cache, too."),
    ] = [],  # noqa: B006
    block_tokens: Annotated[
        int | None,
        typer.Option("--block-tokens", metavar="N", help="Of the cache. Default: the trace's."),
    ] = None,
    page: Annotated[
        Path | None, typer.Option("--html", metavar="FILE", help="Also plot it, on one page.")
    ] = None,
    against: Annotated[
        str | None,
        typer.Option("--against", metavar="OTHER", help="Compare with this scenario or trace."),
    ] = None,
    against_format: Annotated[
        str | None,
        typer.Option("--against-from", metavar="FORMAT", help="Its format. Default: as --from."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Say what a workload holds: rate, burstiness, lengths, turns, prefixes. Sends nothing."""
    import msgspec

    from benchsuite import preview
    from benchsuite.report import likeness as beside
    from benchsuite.report import workload
    from benchsuite.workloads import description, likeness

    asked = preview.of(target, format_name, pairs_of(options))
    found, columns = description.describe(
        asked.sessions,
        asked.starts_s,
        asked.count,
        cache_tokens=cache_tokens,
        block_tokens=block_tokens,
    )
    if against is not None:
        other = preview.of(against, against_format or format_name, {})
        theirs = description.describe(
            other.sessions,
            other.starts_s,
            other.count,
            cache_tokens=cache_tokens,
            block_tokens=block_tokens,
        )
        sides = (
            likeness.side(found, columns, asked.sessions),
            likeness.side(*theirs, other.sessions),
        )
        alike = likeness.likeness(*sides)
        if as_json:
            sys.stdout.write(msgspec.json.format(msgspec.json.encode(alike)).decode() + "\n")
        else:
            beside.show((asked.name, other.name), alike, new_console())
    elif as_json:
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(found)).decode() + "\n")
    else:
        workload.show(asked.name, asked.notes, found, new_console())
    if page is not None:
        workload.write(asked.name, asked.notes, found, columns, page)


@commands.command()
def fit(
    trace: Annotated[
        Path, typer.Argument(metavar="TRACE", help="A trace file, or a scenario that replays one.")
    ],
    format_: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="FORMAT",
            help="Of a file. Default: the first that reads it.",
            autocompletion=completing.formats,
        ),
    ] = None,
    quantum: Annotated[
        float | None,
        typer.Option(help="Step of the trace's clock in seconds. Default: what its times show."),
    ] = None,
    family: Annotated[
        str | None, typer.Option(help="For the scenario. Default: the likeliest, by AIC.")
    ] = None,
    pairs: Annotated[
        bool, typer.Option("--pairs", help="Scenario: draw lengths from the file, in pairs.")
    ] = False,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Write a scenario, YAML.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
    options: Annotated[
        list[str],
        typer.Option(
            "--set", metavar="KEY=VALUE", help="Of the scenario, or of the file's format."
        ),
    ] = [],  # noqa: B006
) -> None:
    """Fit arrival processes to a trace and its lengths; write a scenario of what fits best."""
    try:
        from benchsuite.fitting import reading, report, scenarios
        from benchsuite.fitting.sample import sample
    except ModuleNotFoundError as error:
        raise ScenarioError('fit needs scipy: pip install "benchsuite[fit]"') from error
    from benchsuite.workloads import Trace, tokenizer

    asked = reading.read(trace, format_, tuple(options))
    sessions = asked.workload.sessions(tokenizer.load(asked.tokenizer), asked.seed)
    found = sample(sessions, quantum, asked.seed)
    fits = report.fits(found.events)
    if as_json:
        sys.stdout.write(report.as_json(found, fits) + "\n")
    else:
        if isinstance(asked.workload, Trace):
            new_console().print(f"Read as {asked.workload.source.__struct_config__.tag}.")
        report.show(new_console(), found, fits)
    if out is not None:
        scenarios.write_one(found, fits, asked, trace, family=family, is_paired=pairs, path=out)
        new_console(stderr=True).print(f"Wrote {out}", highlight=False, soft_wrap=True)
