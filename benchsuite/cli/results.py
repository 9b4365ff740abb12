"""Commands over run folders: report, recover, frontier, recompute, export, import."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from benchsuite.cli import completing
from benchsuite.cli.base import (
    INVALID,
    OK,
    RunFolder,
    command_line,
    exit_code,
    new_console,
    one_of,
)
from benchsuite.errors import ScenarioError

commands = typer.Typer()


@commands.command()
def report(folder: RunFolder) -> None:
    """Make everything that is derived again: result.json, the CSVs, report.html."""
    from benchsuite import runner
    from benchsuite.report import terminal

    result = runner.report(folder)
    terminal.show(result, new_console(), folder)


@commands.command()
def truth(
    folder: RunFolder,
    emit_log: Annotated[
        Path | None,
        typer.Option("--emit-log", metavar="FILE", help="Default: emit.jsonl in the run folder."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Hold a run against the bundled engine's own log of when each token left it."""
    import msgspec

    from benchsuite import runner
    from benchsuite.report import terminal

    found = runner.truth_of(folder, emit_log)
    if as_json:
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(found)).decode() + "\n")
    else:
        terminal.show_truth(found, new_console())
    raise typer.Exit(OK if found.is_within else INVALID)


@commands.command()
def recover(folder: RunFolder) -> None:
    """Make the report of a run that was killed, from all that had reached the disk."""
    from benchsuite import runner
    from benchsuite.report import terminal

    result = runner.recover(folder)
    terminal.show(result, new_console(), folder)


@commands.command()
def frontier(
    folders: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Run folders.")],
    baseline: Annotated[
        Path | None,
        typer.Option("--baseline", metavar="RUN", help="What the others are held against."),
    ] = None,
    fixed: Annotated[
        list[Path] | None,
        typer.Option(
            "--throughput",
            metavar="RUN",
            help="A run of demanded lengths that says a model's tokens/s; may be given again.",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Which of several graded runs are worth having, by accuracy and requests per second.

    Runs of one model at several efforts make a curve; the baseline is the first run.

    With --throughput also the relative request rate of papers: tokens/s at demanded lengths over
    the tokens of a natural answer.
    """
    from benchsuite import runner
    from benchsuite.report import terminal

    found = runner.frontier_of(folders, baseline or folders[0], fixed or ())
    if as_json:
        import msgspec

        sys.stdout.write(msgspec.json.format(msgspec.json.encode(found)).decode() + "\n")
    else:
        terminal.show_frontier(found, new_console())


@commands.command()
def recompute(
    folder: RunFolder,
    tool: Annotated[
        str,
        typer.Option(
            "--as",
            metavar="TOOL",
            help="vllm, sglang, aiperf, guidellm, inference-perf or mlperf.",
            autocompletion=completing.peers,
        ),
    ],
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """What another tool would have reported of this run, under its definitions and names."""
    import math

    import msgspec

    from benchsuite import runner
    from benchsuite.metrics.peers import PEERS

    reported = one_of(PEERS, tool, "--as")(runner.data_of(folder))
    if as_json:
        finite = {name: value if math.isfinite(value) else None for name, value in reported.items()}
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(finite)).decode() + "\n")
        return
    width = max(map(len, reported))
    for name, value in reported.items():
        sys.stdout.write(f"{name:<{width}}  {value:.10g}\n")


@commands.command()
def export(
    folder: RunFolder,
    to: Annotated[
        str,
        typer.Option(
            "--to",
            metavar="FORMAT",
            help="vllm, llm-d, github or trace.",
            autocompletion=completing.exports,
        ),
    ],
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Default: standard output.")
    ] = None,
) -> None:
    """A run in another tool's format: vLLM's flat JSON, llm-d Benchmark Report 0.2.1,
    github-action-benchmark's JSON, or a trace for Perfetto."""
    from benchsuite import runner
    from benchsuite.results.exports import EXPORTS
    from benchsuite.results.result import RunResult

    write = one_of(EXPORTS, to, "--to")
    exported = write(RunResult.load(folder), runner.data_of(folder))
    if out is None:
        sys.stdout.buffer.write(exported)
    else:
        out.write_bytes(exported)


@commands.command(name="import")
def import_(
    path: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            help="vLLM's JSON, AIPerf's profile_export.jsonl, GuideLLM's benchmarks.json.",
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="The run folder. Default: runs/<time>-<name>."),
    ] = None,
) -> None:
    """Another tool's result file as a run folder, to report, recompute and compare."""
    from benchsuite import runner
    from benchsuite.report import terminal
    from benchsuite.results.imports import IMPORTS

    if not path.exists():
        raise ScenarioError(f"{path}: no such file")
    found = next((each for read in IMPORTS.values() if (each := read(path)) is not None), None)
    if found is None:
        raise ScenarioError(f"{path}: not a result file of {', '.join(IMPORTS)}")
    folder = out or runner.default_folder(found.scenario)
    result = runner.keep_imported(found, folder, command=command_line())
    terminal.show(result, new_console(), folder)
    raise typer.Exit(exit_code(result.verdict, result.partial))
