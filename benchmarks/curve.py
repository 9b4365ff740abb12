"""How far a run's latencies are from the server's own log of them, over the number of streams.

    python benchmarks/curve.py [--streams 64 256 512 1024] [--tokens 100] [--answers 3]
        [--ttft-ms 200] [--itl-ms 20] [--mock-server PATH]

Closed loop. `benchsuite run`, the whole program in a process of its own on the first core, against
a server on the last that notes when the kernel had each request and when it sent each token: the
emitter of `benchsuite selftest`, or with --mock-server a program that takes -p PORT --ttft-ms X
--itl-ms X -l LOG --log-chunks, answers GET /health, and at SIGTERM writes the log that
`written_by_program` reads. For each quantile it prints what the run says (TTFT from the actual
send) and that minus what the log says. Real-time priority (`chrt -f 10 python ...`) takes other
programs out of it, and is inherited by both sides.
"""

import argparse
import os
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from benchsuite.metrics.latency import itl, tpot, ttft_sent
from benchsuite.records.table import RunData
from benchsuite.results.result import RunResult
from benchsuite.runner import data_of
from benchsuite.selftest import emitter

SCENARIO = """\
name: curve
seed: 1
endpoint:
  type: openai_chat
  url: "{url}"
  model: mock-model
  body: {{pace: {{ttft_s: {ttft_s}, itl_s: {itl_s}}}}}
workload:
  type: synthetic
  prompt_tokens: {{type: fixed, value: 16}}
  output_tokens: {{type: fixed, value: {tokens}}}
arrivals: {{type: closed_loop, concurrency: {streams}}}
limits: {{requests: {requests}}}
workers: {workers}
"""
ENOUGH_REQUESTS = 384  # for a 99th percentile that has values on both sides
START_S = 10.0
QUANTILES = (0.5, 0.99)
_WIDE = "id", "arrived", "read", "scheduled", "first", "last", "late_max", "offset"
_NARROW = "tokens", "chunks", "writes", "fd", "status", "flags", "prompt", "pad"
_RECORD = np.dtype(  # of one request in a program's log; times are ns on the monotonic clock
    [(name, "u8") for name in _WIDE] + [(name, "u4") for name in _NARROW]
)


class Written(NamedTuple):
    """One answer by the server's log; ns on the machine's monotonic clock."""

    received_ns: int
    emitted_ns: NDArray[np.int64]  # [tokens]


Log = Callable[[], list[Written]]  # what was sent; ends the server where it must


@contextmanager
def bundled(core: int, given: argparse.Namespace) -> Iterator[tuple[str, Log]]:
    """The emitter of the selftest; how it answers stands in each body."""
    with emitter.started(core) as port:
        url = f"http://127.0.0.1:{port}"

        def log() -> list[Written]:
            with urllib.request.urlopen(f"{url}/truth", timeout=60) as answer:
                found = msgspec.msgpack.decode(answer.read(), type=emitter.Log)
            return [
                Written(one.received_ns, np.frombuffer(one.emitted_ns, np.int64))
                for one in found.answers
            ]

        yield url, log


@contextmanager
def program(core: int, given: argparse.Namespace) -> Iterator[tuple[str, Log]]:
    """A server of somebody's own."""
    with tempfile.TemporaryDirectory() as folder, socket.create_server(("127.0.0.1", 0)) as free:
        port, path = free.getsockname()[1], Path(folder) / "truth.log"
        free.close()
        pace = f"--ttft-ms {given.ttft_ms} --itl-ms {given.itl_ms}"
        command = f"taskset -c {core} {given.mock_server} -p {port} {pace} -l {path} --log-chunks"
        server = subprocess.Popen(command.split(), stderr=subprocess.DEVNULL)

        def log() -> list[Written]:
            server.send_signal(signal.SIGTERM)
            server.wait()
            return written_by_program(path)

        try:
            url = f"http://127.0.0.1:{port}"
            wait_for(url)
            yield url, log
        finally:
            server.terminate()
            server.wait()


def wait_for(url: str) -> None:
    until_s = time.monotonic() + START_S
    while True:
        try:
            with urllib.request.urlopen(f"{url}/health", timeout=START_S):
                return
        except OSError:
            if time.monotonic() > until_s:
                raise
            time.sleep(0.05)


def written_by_program(path: Path) -> list[Written]:
    """Four numbers (magic, bytes of a record, records, times), the records, the times of chunks."""
    with path.open("rb") as file:
        _, size, num_records, num_times = (int(number) for number in np.fromfile(file, "u8", 4))
        assert size == _RECORD.itemsize, f"{path}: a record of {size} bytes"
        records = np.fromfile(file, _RECORD, num_records)
        times_ns = np.fromfile(file, "i8", num_times)
    return [
        Written(int(one["arrived"]), times_ns[int(one["offset"]) :][: int(one["chunks"])])
        for one in records
    ]


def by_log(answers: list[Written]) -> dict[str, NDArray[np.float64]]:
    """The latencies that a client would report who knew when each token was sent, in ms."""
    firsts_ns = [one.emitted_ns[0] - one.received_ns for one in answers]
    gaps_ns = [np.diff(one.emitted_ns) for one in answers]
    return {
        "ttft": np.array(firsts_ns) / 1e6,
        "tpot": np.array([gaps.mean() for gaps in gaps_ns]) / 1e6,
        "itl": np.concatenate(gaps_ns) / 1e6,
    }


def by_run(data: RunData) -> dict[str, NDArray[np.float64]]:
    """What the run reports, in ms; NaN, which has no gap before it, is not among it."""
    found = {"ttft": ttft_sent(data), "tpot": tpot(data), "itl": itl(data)}
    return {name: values_s[~np.isnan(values_s)] * 1e3 for name, values_s in found.items()}


def measure(streams: int, core: int, given: argparse.Namespace) -> str:
    """One run; a row of the table."""
    requests = max(given.answers * streams, ENOUGH_REQUESTS)
    server = program if given.mock_server else bundled
    with tempfile.TemporaryDirectory() as folder, server(core, given) as (url, log):
        scenario, out = Path(folder) / "curve.yaml", Path(folder) / "run"
        pace = {"ttft_s": given.ttft_ms / 1e3, "itl_s": given.itl_ms / 1e3}
        words = {"url": url, "streams": streams, "requests": requests, **pace}
        scenario.write_text(SCENARIO.format(**words, tokens=given.tokens, workers=given.workers))
        command = f"{sys.executable} -m benchsuite run {scenario} --out {out} --quiet".split()
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run(command, check=False, stdout=subprocess.DEVNULL)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert done.returncode in (0, 4), "4 says of a run that it is invalid"
        data, verdict, answers = data_of(out), RunResult.load(out).verdict, log()
    assert data.ok.sum() == requests == len(answers), "answers are missing"
    assert data.output_tokens.sum() == sum(len(one.emitted_ns) for one in answers), "tokens are"
    logged = by_log(answers)
    cells = [f"{streams:7,}", verdict]
    for name, values in by_run(data).items():
        for q in QUANTILES:
            says = np.quantile(values, q)
            cells.append(f"{says:8.3f} ({says - np.quantile(logged[name], q):+.3f})")
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    cells.append(f"{cpu_s / requests / given.tokens * 1e6:.0f}")
    return "| " + " | ".join(cells) + " |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--streams", type=int, nargs="+", default=[64, 256, 512, 1024])
    parser.add_argument("--tokens", type=int, default=100)
    parser.add_argument("--answers", type=int, default=3, help="to each stream")
    parser.add_argument("--ttft-ms", type=float, default=200.0)
    parser.add_argument("--itl-ms", type=float, default=20.0)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--mock-server", metavar="PATH", help="instead of the bundled emitter")
    given = parser.parse_args()
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, set(cores[:1] if given.workers == 1 else cores[:-1] or cores))
    latencies = [f"{name} p{q * 100:.0f}" for name in ("TTFT", "TPOT", "ITL") for q in QUANTILES]
    names = ["streams", "verdict", *latencies, "CPU-s per million tokens, whole run"]
    print("ms: by the run (by the run - by the server's log)")
    print("| " + " | ".join(names) + " |\n" + "|---" * len(names) + "|")
    for streams in given.streams:
        print(measure(streams, cores[-1], given), flush=True)


if __name__ == "__main__":
    main()
