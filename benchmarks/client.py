"""What a streamed token costs a client, in CPU, at saturation: ours beside others, in one run.

    python benchmarks/client.py [--requests 2000] [--tokens 256] [--streams 64] [--repeats 3]
        [--beside DIR] [--views]
        [--tokenizer DIR [--vllm-rs PATH] [--vllm PATH] [--aiperf PATH] [--guidellm PATH]
        [--sglang PYTHON] [--sglang-rs PYTHON]]

`wire` is our hot path alone: read, stamp, store. `benchsuite run` is the whole program, from its
start to the last file of the run folder, with lines for progress (`--views`: without, and with a
dashboard); so are the others, from their start to their results. The
server (firehose.py) runs pinned to the last core, clients to the first. CPU is that of the client's
process and all its children. Medians over repeats that take turns, since machines drift.
"""

import argparse
import asyncio
import gc
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).parent
OFFLINE = {
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "OPENAI_API_KEY": "none",
}
SCENARIO = """\
name: saturation
seed: 1
endpoint: {{type: openai_chat, url: "{url}", model: mock-model}}
workload:
  type: synthetic
  prompt_tokens: {{type: fixed, value: 16}}
  output_tokens: {{type: fixed, value: {tokens}}}
arrivals: {{type: closed_loop, concurrency: {streams}}}
limits: {{requests: {requests}}}
workers: 1
"""


class Cost(NamedTuple):
    cpu_s: float
    wall_s: float
    peak_mb: float


def wire(url: str, requests: int, streams: int, tokens: int) -> Cost:
    """Our hot path, in this process."""
    from benchsuite.endpoints.openai_chat import OpenAIChat
    from benchsuite.request import Message, Request, Scripted

    endpoint = OpenAIChat(url=url, model="mock-model")
    ask = Request(
        id=0,
        prompt=Scripted((Message("user", "hi"),), 1),
        prompt_tokens=1,
        max_output_tokens=tokens,
        ignore_eos=True,
    )

    async def send_all() -> Cost:
        body = endpoint.body(ask, ask.prompt.render().messages)
        async with endpoint.connect() as connection:
            ids = iter(range(requests))

            async def slot() -> None:
                for request_id in ids:
                    exchange = await connection.send(request_id, body)
                    assert exchange.error_class is None, exchange.error

            gc.collect()
            gc.freeze()
            cpu_s, wall_s = time.process_time(), time.monotonic()
            await asyncio.gather(*(slot() for _ in range(streams)))
            cpu_s, wall_s = time.process_time() - cpu_s, time.monotonic() - wall_s
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        return Cost(cpu_s, wall_s, peak)

    with asyncio.Runner(loop_factory=endpoint.loop) as runner:
        return runner.run(send_all())


def counting(requests: int, tokens: int, events_per_write: int) -> Cost:
    """What `benchsuite run` spends on counters for whoever watches, of as many streams; in here."""
    import numpy as np

    from benchsuite.exchange import Exchange
    from benchsuite.loadgen.counters import Counters

    reads = max(tokens // events_per_write, 1)
    stamps = np.linspace(0.1, 3.0, reads)
    streams = [
        Exchange(
            request_id=0,
            stamp_source="kernel",
            framing="http",
            sent_s=0.0,
            reads=[b"HTTP/1.1 200 OK\r\n\r\ndata: {}\n\n"] * reads,
            read_s=stamps.copy(),
            lag_s=np.full(reads, 1e-4),
        )
        for _ in range(requests)
    ]
    counters = Counters()
    cpu_s, wall_s = time.process_time(), time.monotonic()
    for stream in streams:
        counters.saw(0.0, stream)
    counters.cells()
    return Cost(time.process_time() - cpu_s, time.monotonic() - wall_s, 0.0)


def dashboard(num: int) -> float:
    """CPU seconds of one look at a running run, in a terminal; one comes every second."""
    from io import StringIO

    from rich.console import Console
    from rich.live import Live

    from benchsuite.loadgen.counters import Counters, reading
    from benchsuite.loadgen.progress import Moment
    from benchsuite.loadgen.progress import dashboard as picture
    from benchsuite.loadgen.schedule import Schedule

    schedule = Schedule(
        draw=lambda: iter(()), due_s=None, concurrency=64, num_requests=2000, end_s=None
    )
    counters = Counters()
    before = Moment(0.0, reading(counters.cells()))
    console = Console(file=StringIO(), force_terminal=True, width=80)
    with Live(console=console, auto_refresh=False) as live:
        cpu_s = time.process_time()
        for at in range(num):
            now = Moment(at + 1.0, reading(counters.cells()))
            live.update(picture(before, now, schedule), refresh=True)
        return (time.process_time() - cpu_s) / num


def command(arguments: list[str], **environment: str) -> Cost:
    """A whole program and its children. 4 says of a run of ours that the machine was too busy for
    its numbers to count; what it cost counts all the same."""
    started_s = time.monotonic()
    process = subprocess.Popen(
        arguments,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, **OFFLINE, **environment},
    )
    _, status, used = os.wait4(process.pid, 0)
    if os.waitstatus_to_exitcode(status) not in (0, 4):
        raise SystemExit(f"failed ({status}): {' '.join(arguments)}")
    return Cost(used.ru_utime + used.ru_stime, time.monotonic() - started_s, used.ru_maxrss / 1024)


VLLM_BENCH = """bench serve --backend openai-chat --endpoint /v1/chat/completions
    --base-url {url} --model mock-model --tokenizer {tokenizer} --dataset-name random
    --random-input-len 16 --random-output-len {tokens} --num-prompts {requests}
    --max-concurrency {streams} --ignore-eos --disable-tqdm --save-result
    --result-filename {out}/result.json"""
AIPERF = """{aiperf} profile -m mock-model -u {url} --endpoint-type chat --streaming
    --tokenizer cl100k_base --isl 16 --isl-stddev 0 --osl {tokens} --osl-stddev 0
    --extra-inputs ignore_eos:true --request-count {requests} --concurrency {streams}
    --use-server-token-count --num-prompts 200 --ui none --output-artifact-dir {out}"""
GUIDELLM = """{guidellm} run
    --backend kind=openai_http,target={url},model=mock-model,request_format=/v1/chat/completions
    --profile kind=concurrent,streams={streams} --constraint kind=max_requests,count={requests}
    --tokenizer kind=hf_auto,model={tokenizer}
    --data kind=synthetic_text,prompt_tokens=16,output_tokens={tokens}
    --output kind=json,path={out}/g.json --disable-progress"""
SGLANG = """--backend sglang-oai-chat --base-url {url} --model mock-model --tokenizer {tokenizer}
    --dataset-name random-ids --random-input-len 16 --random-output-len {tokens}
    --random-range-ratio 1 --num-prompts {requests} --max-concurrency {streams}
    --warmup-requests 0 --disable-tqdm --output-file {out}/result.jsonl"""
PEERS = {
    "vllm_rs": ("vllm-rs bench serve", "{vllm_rs} " + VLLM_BENCH),
    "vllm": ("vllm bench serve", "{vllm} " + VLLM_BENCH),
    "aiperf": ("aiperf profile", AIPERF),
    "guidellm": ("guidellm run", GUIDELLM),
    "sglang": ("sglang bench_serving", "{sglang} -m sglang.bench_serving " + SGLANG),
    "sglang_rs": (
        "sglang rust_client",
        "{sglang_rs} -m sglang.benchmark.rust_client " + SGLANG,
    ),
}
OURS = "{python} -m benchsuite run {scenario} --out {out}"


def clients(given: argparse.Namespace, url: str, folder: Path) -> dict[str, Callable[[], Cost]]:
    words = {**vars(given), "url": url, "python": sys.executable}
    scenario = folder / "scenario.yaml"
    scenario.write_text(SCENARIO.format(**words))

    def program(line: str, **environment: str) -> Cost:
        out = tempfile.mkdtemp(dir=folder)
        return command(line.format(**words, scenario=scenario, out=out).split(), **environment)

    sizes = [str(given.requests), str(given.streams), str(given.tokens)]
    found: dict[str, Callable[[], Cost]] = {
        "wire": lambda: _inner([sys.executable, __file__, "--wire", url, *sizes]),
        "benchsuite run": lambda: program(OURS),
        "  of it: counters": lambda: counting(given.requests, given.tokens, given.events_per_write),
    }
    if given.beside:
        found["... of --beside"] = lambda: program(OURS, PYTHONPATH=given.beside)
    if given.views:
        found["... --quiet"] = lambda: program(OURS + " --quiet")
        found["..., dashboard"] = lambda: program(OURS, FORCE_COLOR="1")
    for option, (name, line) in PEERS.items():
        if words[option]:
            found[name] = partial(program, line, PYTHONPATH="")  # each its own libraries
    return found


def _inner(arguments: list[str]) -> Cost:
    done = subprocess.run(arguments, capture_output=True, text=True, check=True)
    return Cost(*json.loads(done.stdout))


def measure(given: argparse.Namespace) -> None:
    cores = sorted(os.sched_getaffinity(0))
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # an installed program is compiled once
    options = f"--tokens {given.tokens} --events-per-write {given.events_per_write}"
    pinned = ["taskset", "-c", str(cores[-1]), sys.executable, str(HERE / "firehose.py")]
    server = subprocess.Popen(
        [*pinned, *options.split()],
        stdout=subprocess.PIPE,
        text=True,
    )
    os.sched_setaffinity(0, {cores[0]})
    try:
        assert server.stdout is not None
        url = server.stdout.readline().strip()
        with tempfile.TemporaryDirectory() as folder:
            costs: dict[str, list[Cost]] = {}
            for _ in range(given.repeats):
                for name, run in clients(given, url, Path(folder)).items():
                    costs.setdefault(name, []).append(run())
        show(costs, given.requests * given.tokens)
        if given.views:
            print(f"a look at the dashboard, one a second: {dashboard(200) * 1e3:.2f} CPU-ms")
    finally:
        server.terminate()
        server.wait()


def show(costs: dict[str, list[Cost]], num_tokens: int) -> None:
    whole = statistics.median(cost.cpu_s for cost in costs["benchsuite run"])
    print(f"{'client':22}{'CPU-s/Mtok':>11}{'tok/s':>11}{'wall s':>8}{'MB':>7}{'/ ours':>8}")
    for name, found in costs.items():
        cpu_s = statistics.median(cost.cpu_s for cost in found)
        wall_s = statistics.median(cost.wall_s for cost in found)
        peak = max(cost.peak_mb for cost in found)
        print(
            f"{name:22}{cpu_s / num_tokens * 1e6:11.2f}{num_tokens / wall_s:11,.0f}"
            f"{wall_s:8.2f}{peak:7.0f}{cpu_s / whole:8.4f}"
        )


def main() -> None:
    if sys.argv[1:2] == ["--wire"]:
        url, requests, streams, tokens = sys.argv[2], *map(int, sys.argv[3:6])
        print(json.dumps(wire(url, requests, streams, tokens)))
        return
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--requests", type=int, default=2000)
    parser.add_argument("--tokens", type=int, default=256)
    parser.add_argument("--streams", type=int, default=64)
    parser.add_argument("--events-per-write", type=int, default=16)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--beside", metavar="DIR", help="another checkout of this project")
    parser.add_argument("--views", action="store_true", help="ours without and with a dashboard")
    parser.add_argument("--vllm-rs", help="the binary in vLLM's wheel")
    parser.add_argument("--vllm", help="vLLM's command, for its client in Python")
    parser.add_argument("--aiperf", help="AIPerf's command; offline it needs TIKTOKEN_CACHE_DIR")
    parser.add_argument("--guidellm", help="GuideLLM's command")
    parser.add_argument("--sglang", help="a Python that has SGLang, for its client in Python")
    parser.add_argument("--sglang-rs", help="likewise, for its client in Rust")
    parser.add_argument("--tokenizer", help="a folder with tokenizer.json, for the others")
    measure(parser.parse_args())


if __name__ == "__main__":
    main()
