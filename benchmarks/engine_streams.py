"""Many streams at once against the engine's server on a CPU: does its event loop stall, does its
memory grow?

Every stream asks again as soon as it has ended, and its prompt is new each time. Stalls are the
server's own: `event_loop_lag_seconds` of its /metrics. Memory is its resident set.

    python benchmarks/engine_streams.py --streams 1000 --minutes 10
"""

import argparse
import asyncio
import json
import os
import re
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

PROMPT_TOKENS = 16
EVERY_S = 15.0


class Server(NamedTuple):
    host: str
    port: int
    pid: int


class Reading(NamedTuple):
    """Since the start, but for the memory."""

    resident_bytes: int
    tokens: float
    lags: dict[float, float]  # upper bound in seconds -> timers at most so late
    max_lag_s: float


@asynccontextmanager
async def server(model: str, streams: int, output_tokens: int) -> AsyncIterator[Server]:
    """The engine as a process of its own, with a seat for each stream."""
    config = {
        "model": model,
        "max_sequences": streams,
        "max_model_len": PROMPT_TOKENS + output_tokens,
        "num_blocks": streams * -(-(PROMPT_TOKENS + output_tokens) // 16),
    }
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(config, file)
        file.flush()
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "reference_engine", "--config", file.name),
            "--exit-with-parent",  # standard input ends with this script, however it ends
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        try:
            assert process.stdout is not None
            where = urlsplit(json.loads(await process.stdout.readline())["url"])
            assert where.hostname is not None
            assert where.port is not None
            yield Server(where.hostname, where.port, process.pid)
        finally:
            process.terminate()
            await process.wait()


async def ask(where: Server, request: bytes) -> bytes:
    """One request on a connection of its own; all of the answer."""
    reader, writer = await asyncio.open_connection(where.host, where.port)
    try:
        writer.write(request)
        parts = []
        while part := await reader.read(65536):
            parts.append(part)
        return b"".join(parts)
    finally:
        writer.close()


def request(path: str, body: bytes) -> bytes:
    method = "POST" if body else "GET"
    head = f"{method} {path} HTTP/1.1\r\nHost: engine\r\nConnection: close\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


async def stream(where: Server, number: int, output_tokens: int) -> None:
    """Stream after stream, until cancelled."""
    turn = 0
    while True:
        ids = [(number * 31 + turn * 7 + place) % 8000 for place in range(PROMPT_TOKENS)]
        asked = {
            "prompt": ids,
            "max_tokens": output_tokens,
            "ignore_eos": True,
            "stream": True,
        }
        answer = await ask(where, request("/v1/completions", json.dumps(asked).encode()))
        assert b"data: [DONE]" in answer, answer[-300:]
        turn += 1


def resident_bytes(pid: int) -> int:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


async def read(where: Server) -> Reading:
    text = (await ask(where, request("/metrics", b""))).decode()
    lag = "reference_engine:event_loop_lag_seconds"
    buckets = re.findall(rf'^{lag}_bucket{{le="([^"]+)".*}} (\S+)', text, re.MULTILINE)
    (longest,) = re.findall(rf"^{lag}_max{{.*}} (\S+)", text, re.MULTILINE)
    (tokens,) = re.findall(r"^vllm:generation_tokens_total{.*} (\S+)", text, re.MULTILINE)
    return Reading(
        resident_bytes(where.pid),
        float(tokens),
        {float(bound): float(count) for bound, count in buckets},
        float(longest),
    )


def stalls(reading: Reading) -> int:
    """Timers that came more than 50 ms late."""
    return round(reading.lags[float("inf")] - reading.lags[0.05])


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--model", default="tiny")
    parser.add_argument("--streams", type=int, default=1000)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--output-tokens", type=int, default=128)
    asked = parser.parse_args()
    async with server(asked.model, asked.streams, asked.output_tokens) as where:
        async with asyncio.TaskGroup() as group:
            streams = [
                group.create_task(stream(where, number, asked.output_tokens))
                for number in range(asked.streams)
            ]
            print("  s   tok/s   MiB   stalls > 50 ms   longest ms   load", flush=True)
            time_s = asyncio.get_running_loop().time
            begun_s = then_s = time_s()
            before = await read(where)
            while time_s() < begun_s + asked.minutes * 60:
                await asyncio.sleep(EVERY_S)
                now, now_s = await read(where), time_s()
                rate = (now.tokens - before.tokens) / (now_s - then_s)
                print(
                    f"{now_s - begun_s:3.0f} {rate:7.0f} {now.resident_bytes / 2**20:5.0f}"
                    f" {stalls(now) - stalls(before):16d} {now.max_lag_s * 1e3:12.1f}"
                    f" {os.getloadavg()[0]:6.1f}",
                    flush=True,
                )
                before, then_s = now, now_s
            for task in streams:
                task.cancel()
        timers = before.lags[float("inf")]
        print(f"{stalls(before)} of {timers:.0f} timers more than 50 ms late")


if __name__ == "__main__":
    asyncio.run(main())
