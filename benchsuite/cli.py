"""The command line: a few lines each over the library.

Everything heavy is imported inside the command that needs it, so that `--help` is instant.
"""

import shlex
import sys
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, TypeVar

import typer

from benchsuite.errors import BenchsuiteError, InterruptedRunError, ScenarioError

if TYPE_CHECKING:
    from rich.console import Console

T = TypeVar("T")
OK: Final = 0
INVALID: Final = 4
INTERNAL: Final = 5
INTERRUPTED: Final = 130

app = typer.Typer(
    name="benchsuite",
    help="Load an LLM server, time every token, and say how far the numbers can be trusted.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain help: laying it out with rich takes longer than all the rest
)

ScenarioFile = Annotated[Path, typer.Argument(metavar="SCENARIO", help="A scenario, YAML.")]
RunFolder = Annotated[Path, typer.Argument(metavar="RUN", help="A run folder.")]
Overrides = Annotated[
    list[str],
    typer.Option("--set", metavar="KEY=VALUE", help="Override a value, e.g. --set arrivals.rate=4"),
]


@app.command()
def run(
    scenario: ScenarioFile,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="The run folder. Default: runs/<time>-<name>."),
    ] = None,
    overrides: Overrides = [],  # noqa: B006  typer reads it and never changes it
    workers: Annotated[
        int | None,
        typer.Option("--workers", metavar="N", help="Processes that send. Default: as needed."),
    ] = None,
    ray: Annotated[
        str | None,
        typer.Option(
            "--ray", metavar="ADDRESS", help="Send from a Ray cluster: local, auto or HOST:PORT."
        ),
    ] = None,
) -> None:
    """Send a scenario's load and leave records, metrics and a report in a run folder.

    Exit code 0: valid; 2: the scenario is wrong; 3: the server cannot be reached; 4: the numbers
    cannot be trusted, and the first line says why; 130: interrupted, what was measured is kept.
    """
    from benchsuite import runner
    from benchsuite.loadgen import workers as processes
    from benchsuite.report import terminal
    from benchsuite.scenario import load

    send: runner.Send = processes.send_all
    if ray is not None:
        from benchsuite.loadgen import ray_workers

        send = partial(ray_workers.send_all, address=ray)
    more = () if workers is None else (f"workers={workers}",)
    checked = load(scenario, (*overrides, *more))
    folder = out or runner.default_folder(checked)
    console = _console(stderr=True)
    try:
        result = runner.run(checked, folder, command=_command(), console=console, send=send)
    except KeyboardInterrupt:  # while the engine started, or while the report was made
        found = f"; to report what was measured: benchsuite recover {shlex.quote(str(folder))}"
        raise InterruptedRunError(f"interrupted{found if folder.exists() else ''}") from None
    terminal.show(result, _console(), folder)
    raise typer.Exit(_exit_code(result.verdict, result.partial))


@app.command()
def report(folder: RunFolder) -> None:
    """Make everything that is derived again: result.json, the CSVs, report.html."""
    from benchsuite import runner
    from benchsuite.report import terminal

    result = runner.report(folder)
    terminal.show(result, _console(), folder)


@app.command()
def recover(folder: RunFolder) -> None:
    """Make the report of a run that was killed, from all that had reached the disk."""
    from benchsuite import runner
    from benchsuite.report import terminal

    result = runner.recover(folder)
    terminal.show(result, _console(), folder)


@app.command()
def frontier(
    folders: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Run folders.")],
    baseline: Annotated[
        Path | None,
        typer.Option("--baseline", metavar="RUN", help="What the others are held against."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Which of several graded runs are worth having, by accuracy and requests per second.

    Runs of one model at several efforts make a curve; the baseline is the first run.
    """
    from benchsuite import runner
    from benchsuite.report import terminal

    found = runner.frontier_of(folders, baseline or folders[0])
    if as_json:
        import msgspec

        sys.stdout.write(msgspec.json.format(msgspec.json.encode(found)).decode() + "\n")
    else:
        terminal.show_frontier(found, _console())


@app.command()
def check(scenario: ScenarioFile, overrides: Overrides = []) -> None:  # noqa: B006
    """Check a scenario and say what it would send, without sending it."""
    from benchsuite.loadgen.schedule import Schedule
    from benchsuite.scenario import load
    from benchsuite.workloads import tokenizer

    checked = load(scenario, tuple(overrides))
    schedule = Schedule.plan(checked, tokenizer.load(checked.tokenizer))
    _console().print(f"{scenario}: ok. {schedule.describe()}", highlight=False, soft_wrap=True)


@app.command()
def convert(
    file: Annotated[str, typer.Argument(metavar="IN", help="A trace, or what its format reads.")],
    format_name: Annotated[str, typer.Option("--from", metavar="FORMAT", help="Its format.")],
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
    source = conversion.source(format_name, file, _pairs(options))
    done = conversion.write(source, out, "skip" if skip_bad_rows else "fail")
    stderr = _console(stderr=True)
    skipped = f"; {done.num_broken} broken skipped, the first: {done.first_broken}"
    text = f"{done.num_rows} requests{skipped if done.num_broken else ''}"
    stderr.print(text, highlight=False, soft_wrap=True, markup=False)


@app.command()
def describe(
    target: Annotated[
        str, typer.Argument(metavar="SCENARIO|TRACE", help="A scenario (.yaml), or a trace.")
    ],
    format_name: Annotated[
        str, typer.Option("--from", metavar="FORMAT", help="The format of a trace.")
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

    asked = preview.of(target, format_name, _pairs(options))
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
            beside.show((asked.name, other.name), alike, _console())
    elif as_json:
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(found)).decode() + "\n")
    else:
        workload.show(asked.name, asked.notes, found, _console())
    if page is not None:
        workload.write(asked.name, asked.notes, found, columns, page)


def _pairs(options: list[str]) -> dict[str, str]:
    found = {}
    for option in options:
        key, mark, value = option.partition("=")
        if not mark:
            raise ScenarioError(f"--set {option}: expected KEY=VALUE")
        found[key] = value
    return found


@app.command()
def sweep(
    scenario: ScenarioFile,
    out: Annotated[
        Path,
        typer.Option("--out", metavar="DIR", help="The sweep's folder; may be taken up again."),
    ],
    vary: Annotated[
        list[str],
        typer.Option(
            "--vary",
            metavar="KEY=VALUES",
            help="arrivals.rate=1,2,4, or 1..32:6 for six log-spaced ones; several make a grid.",
        ),
    ] = [],  # noqa: B006
    matrix: Annotated[
        Path | None,
        typer.Option("--matrix", metavar="FILE", help="YAML: vary, include, exclude, repeats."),
    ] = None,
    repeats: Annotated[int, typer.Option("--repeats", min=1, help="Runs of each point.")] = 1,
    overrides: Overrides = [],  # noqa: B006
    goodput: Annotated[
        bool, typer.Option("--goodput", help="Search the highest rate that is good enough.")
    ] = False,
    target: Annotated[
        float, typer.Option("--target", min=0.5, max=0.9999, help="Least attainment.")
    ] = 0.9,
    at_most: Annotated[
        str | None,
        typer.Option("--at-most", metavar="METRIC=LIMIT", help="Instead: a mean, as tpot=50ms."),
    ] = None,
    between: Annotated[
        tuple[float, float] | None,
        typer.Option("--between", metavar="LOW HIGH", help="Rates. Default: a 64th to 64 times."),
    ] = None,
    precision: Annotated[
        float, typer.Option("--precision", min=0.001, max=0.5, help="Width of the interval.")
    ] = 0.05,
    looks: Annotated[int, typer.Option("--looks", min=1, help="Runs at one rate, at most.")] = 4,
    max_runs: Annotated[int, typer.Option("--max-runs", min=1, help="Runs in all.")] = 64,
    gpus: Annotated[
        int | None,
        typer.Option("--gpus", min=1, help="Of the server; goodput is told per GPU too."),
    ] = None,
) -> None:
    """Run a scenario many times: over a grid of settings, or to find its goodput.

    Exit code 0: all runs are valid, or a goodput was found; 4: some are not, or none was found.
    """
    from benchsuite.metrics.goodput import Goal
    from benchsuite.scenario import load
    from benchsuite.sweep import goodput as goodput_search
    from benchsuite.sweep import grid, page, plan, runs

    stderr = _console(stderr=True)
    settings = tuple(overrides)
    run = runs.runs_with(stderr, _command())

    def say(text: str) -> None:
        stderr.print(text, highlight=False, soft_wrap=True)

    if goodput:
        if vary or matrix:
            raise ScenarioError("--goodput searches over the rate alone; it takes no --vary")
        criterion = goodput_search.criterion(target, at_most)
        plain = load(scenario, settings)
        start = goodput_search.current_rate(plain)
        is_whole = goodput_search.is_whole(plain)
        low, high = between or (max(start / 64, 1.0 if is_whole else 0.0), start * 64)
        goal = Goal(
            start=min(max(start, low), high),
            lowest=low,
            highest=high,
            precision=precision,
            max_looks=looks,
            max_readings=max_runs,
            is_whole=is_whole,
        )
        found = goodput_search.search(
            scenario, settings, goal, criterion, out, run=run, say=say, num_gpus=gpus
        )
        page.show_goodput(found, _console(), out)
        raise typer.Exit(OK if found.goodput.rate is not None else INVALID)
    told = plan.matrix(matrix) if matrix else plan.Matrix()
    points = plan.points(
        [*plan.axes(told), *map(plan.axis, vary)],
        include=told.include,
        exclude=told.exclude,
        repeats=max(repeats, told.repeats),
        seed=load(scenario, settings).seed,
    )
    index = grid.sweep(scenario, settings, points, out, run=run, say=say)
    page.show_sweep(index, _console(), out)
    are_valid = all(entry.verdict == "valid" for entry in index.entries)
    raise typer.Exit(OK if are_valid else INVALID)


@app.command()
def recompute(
    folder: RunFolder,
    tool: Annotated[
        str,
        typer.Option(
            "--as",
            metavar="TOOL",
            help="vllm, sglang, aiperf, guidellm, inference-perf or mlperf.",
        ),
    ],
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """What another tool would have reported of this run, under its definitions and names."""
    import math

    import msgspec

    from benchsuite import runner
    from benchsuite.metrics.peers import PEERS

    reported = _one_of(PEERS, tool, "--as")(runner.data_of(folder))
    if as_json:
        finite = {name: value if math.isfinite(value) else None for name, value in reported.items()}
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(finite)).decode() + "\n")
        return
    width = max(map(len, reported))
    for name, value in reported.items():
        sys.stdout.write(f"{name:<{width}}  {value:.10g}\n")


@app.command()
def export(
    folder: RunFolder,
    to: Annotated[
        str, typer.Option("--to", metavar="FORMAT", help="vllm, llm-d, github or trace.")
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

    write = _one_of(EXPORTS, to, "--to")
    exported = write(RunResult.load(folder), runner.data_of(folder))
    if out is None:
        sys.stdout.buffer.write(exported)
    else:
        out.write_bytes(exported)


@app.command(name="import")
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
    result = runner.keep_imported(found, folder, command=_command())
    terminal.show(result, _console(), folder)
    raise typer.Exit(_exit_code(result.verdict, result.partial))


@app.command()
def fit(
    trace: Annotated[
        Path, typer.Argument(metavar="TRACE", help="A trace file, or a scenario that replays one.")
    ],
    format_: Annotated[
        str | None,
        typer.Option(
            "--from", metavar="FORMAT", help="Of a file. Default: the first that reads it."
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
            _console().print(f"Read as {asked.workload.source.__struct_config__.tag}.")
        report.show(_console(), found, fits)
    if out is not None:
        scenarios.write_one(found, fits, asked, trace, family=family, is_paired=pairs, path=out)
        _console(stderr=True).print(f"Wrote {out}", highlight=False, soft_wrap=True)


@app.command()
def selftest(
    quick: Annotated[bool, typer.Option("--quick", help="Fewer loads: 10 s, not 60.")] = False,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="Also leave selftest.json and .html here."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The curve, for programs.")] = False,
) -> None:
    """Measure how wrong this load generator is on this machine, by load."""
    from benchsuite.selftest import page, sweep

    stderr = _console(stderr=True)
    curve = sweep.sweep(
        sweep.QUICK if quick else sweep.FULL, lambda text: stderr.print(text, highlight=False)
    )
    if as_json:
        sys.stdout.write(curve.to_json().decode())
    else:
        page.show(curve, _console())
    kept = curve.keep()
    if out is not None:
        curve.save(out / "selftest.json")
        (out / "selftest.html").write_text(page.render(curve), encoding="utf-8")
    if kept is not None:
        kept.with_suffix(".html").write_text(page.render(curve), encoding="utf-8")
        stderr.print(f"Kept for this machine's runs: {kept}", highlight=False, soft_wrap=True)
    else:
        stderr.print("Not kept: a full selftest of this machine is there.", highlight=False)


@app.command(name="list")
def list_(
    kind: Annotated[
        str | None, typer.Argument(help="One kind alone: arrivals, workloads, metrics ...")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Every arrival process, workload, trace format, endpoint, policy and metric there is."""
    from benchsuite import catalogue

    if as_json:
        sys.stdout.write(catalogue.as_json(kind) + "\n")
    else:
        catalogue.show(_console(), kind)


@app.command()
def schema() -> None:
    """The JSON Schema of scenario files, for editors."""
    import msgspec

    from benchsuite.scenario import json_schema

    sys.stdout.write(msgspec.json.format(msgspec.json.encode(json_schema())).decode() + "\n")


def _one_of(known: Mapping[str, T], name: str, option: str) -> T:
    if name not in known:
        raise ScenarioError(f"{option} {name}: expected one of {', '.join(known)}")
    return known[name]


def _console(*, stderr: bool = False) -> "Console":
    from rich.console import Console

    return Console(stderr=stderr)


def _command() -> str:
    name = Path(sys.argv[0]).name
    started = ["python", "-m", "benchsuite"] if name == "__main__.py" else [name]
    words = [*started, *sys.argv[1:]]
    return shlex.join(words).encode(errors="backslashreplace").decode()  # a path may be any bytes


def _exit_code(verdict: str, partial: str | None) -> int:
    if partial == "interrupted":
        return INTERRUPTED
    return OK if verdict == "valid" else INVALID


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
        raise SystemExit(INTERNAL) from None
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
