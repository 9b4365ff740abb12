"""How long it takes to analyse a run and to write its report, in seconds of CPU and of the clock.

    python benchmarks/analysis.py [--requests 10000] [--tokens 256] [--repeats 3] [--profile]

The run's folder is made by sending nothing: a simulated scenario gives the form, its records are
replaced by as many as asked, with jittered token times and kernel stamps. Each phase is timed
where `benchsuite report` runs it; medians of the repeats. Memory is the most that this process
had, of its own (anon) and with what it had mapped of files (which the system takes back when it
needs room), sampled 50 times a second. `--profile`: where the metrics' time goes, instead.
"""

import argparse
import cProfile
import multiprocessing
import pstats
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
from msgspec.structs import replace
from rich.console import Console

from benchsuite import runner
from benchsuite.records import requests as requests_file
from benchsuite.records.record import Record
from benchsuite.report import html
from benchsuite.results import tables
from benchsuite.results.result import RunResult
from benchsuite.scenario import load

SCENARIO = """\
name: analysis
endpoint:
  type: in_process
  engine: {model: tiny, executor: {type: roofline, device: l4}}
workload:
  type: synthetic
  prompt_tokens: {type: fixed, value: 64}
  output_tokens: {type: fixed, value: 8}
arrivals: {type: poisson, rate: 100}
limits: {requests: 20}
slo: {default: {ttft: 500ms, tpot: 50ms}}
"""


def made(folder: Path, num_requests: int, num_tokens: int) -> None:
    """`folder/run`: a run folder with that many records."""
    file = folder / "scenario.yaml"
    file.write_text(SCENARIO)
    out = folder / "run"
    kept: list[Record] = []
    write = requests_file.write

    def write_and_keep(records: Any, path: Path) -> int:
        kept.extend(records)
        return write(kept, path)

    with patch.object(requests_file, "write", write_and_keep):
        runner.run(load(file), out, console=Console(quiet=True))
    rng = np.random.default_rng(1)
    due_s = np.cumsum(rng.exponential(0.01, num_requests)).tolist()
    write(
        (_record(kept[0], i, due_s[i], num_tokens, rng) for i in range(num_requests)),
        out / requests_file.FILE_NAME,
    )


def _record(
    like: Record, i: int, due_s: float, num_tokens: int, rng: np.random.Generator
) -> Record:
    chunk_s = due_s + 0.2 + np.cumsum(rng.lognormal(-4, 0.2, num_tokens))
    return replace(
        like,
        request_id=i,
        session_id=i,
        due_s=due_s,
        sent_s=due_s + 1e-4,
        finished_s=float(chunk_s[-1]),
        chunk_s=chunk_s,
        chunk_tokens=np.ones(num_tokens, np.int32),
        chunk_kind=np.zeros(num_tokens, np.int8),
        chunk_read=np.arange(num_tokens, dtype=np.int32),
        chunk_lag_s=rng.lognormal(-10, 0.5, num_tokens).astype(np.float32),
        stamp_source="kernel",
        output_tokens=num_tokens,
        output_tokens_asked=num_tokens,
    )


def phases(folder: Path) -> dict[str, tuple[float, float]]:
    """(CPU seconds, seconds) of each part of `benchsuite report`."""
    found: dict[str, tuple[float, float]] = {}

    def timed(name: str, work: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            cpu_s, at_s = time.process_time(), time.monotonic()
            try:
                return work(*args, **kwargs)
            finally:
                found[name] = (time.process_time() - cpu_s, time.monotonic() - at_s)

        return wrapped

    with (
        patch.object(requests_file, "read", timed("read the records", requests_file.read)),
        patch.object(runner, "run_data", timed("columns", runner.run_data)),
        patch.object(RunResult, "of", timed("metrics", RunResult.of)),
        patch.object(tables, "write", timed("CSV files", tables.write)),
        patch.object(html, "write", timed("report.html", html.write)),
    ):
        timed("all of it", runner.report)(folder)
    return found


def watch_memory(most_kb: dict[str, int]) -> None:
    """Keeps in `most_kb` the most that /proc says of this process."""
    while True:
        for line in Path("/proc/self/status").read_text().splitlines():
            name, _, value = line.partition(":")
            if name in ("RssAnon", "VmRSS"):
                most_kb[name] = max(most_kb.get(name, 0), int(value.split()[0]))
        time.sleep(0.02)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--tokens", type=int, default=256)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--profile", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        sizes = (Path(folder), given.requests, given.tokens)
        making = multiprocessing.get_context("spawn").Process(target=made, args=sizes)
        making.start()  # elsewhere: what it needs is not what the analysis needs
        making.join()
        run = Path(folder) / "run"
        if given.profile:
            profile = cProfile.Profile()
            profile.runcall(runner.report, run)
            pstats.Stats(profile).sort_stats("cumtime").print_stats(60)
            return
        most_kb: dict[str, int] = {}
        threading.Thread(target=watch_memory, args=(most_kb,), daemon=True).start()
        runs = [phases(run) for _ in range(given.repeats)]
        size = (run / "report.html").stat().st_size
    for name in runs[0]:
        cpu_s, wall_s = (statistics.median(one[name][i] for one in runs) for i in (0, 1))
        print(f"{name:20}{cpu_s:8.2f} CPU-s{wall_s:8.2f} s")
    print(f"{'report.html':20}{size / 1e6:8.2f} MB")
    anon, mapped = (most_kb[name] / 1024 for name in ("RssAnon", "VmRSS"))
    print(f"{'memory':20}{anon:8.0f} MiB anon {mapped:8.0f} MiB with files")


if __name__ == "__main__":
    main()
