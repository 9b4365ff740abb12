"""What it costs to turn a run's spool into requests.parquet, in microseconds of CPU per event.

    python benchmarks/records.py [--requests 2000] [--tokens 256] [--repeats 3]

The answers are vLLM's chat stream, about 250 bytes an event, one event a read and sixteen. Each
part runs alone over the whole spool, its input at hand, and is the best of the repeats; the last
row is all of it as a run does it. CPU of all threads of this process; nothing else should run.
"""

import argparse
import gc
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from decode import best_us, reads

from benchsuite.endpoints.openai_chat import OpenAIChat
from benchsuite.exchange import Exchange, Response
from benchsuite.records import requests as requests_file
from benchsuite.records.record import Record
from benchsuite.records.spool import Asked, SpoolWriter, read_spool

ENDPOINT = OpenAIChat(url="http://127.0.0.1")


def asked(i: int, num_tokens: int) -> Asked:
    return Asked(
        request_id=i,
        session_id=i,
        turn=0,
        worker=0,
        slo_class="default",
        due_s=0.002 * i,
        prompt_tokens_asked=128,
        prompt_tokens=128,
        output_tokens_asked=num_tokens,
        must_reach_asked=True,
        expected=None,
        grader=None,
    )


def exchange(i: int, answer: list[bytes]) -> Exchange:
    """Of a server that sends a token every 20 ms, with kernel stamps that look real."""
    jitter_s = [1e-6 * (37 * (i + j) % 101) for j in range(len(answer))]
    return Exchange(
        request_id=i,
        stamp_source="kernel",
        framing="http",
        sent_s=0.002 * i,
        reads=answer,
        read_s=[0.002 * i + 0.02 * j + jitter_s[j] for j in range(len(answer))],
        lag_s=jitter_s,
        finished_s=0.002 * i + 0.02 * len(answer),
    )


def make_spool(path: Path, num_requests: int, answer: list[bytes], num_tokens: int) -> None:
    writer = SpoolWriter(path, {"start_s": 0.0}, on_failure=lambda: None)
    for i in range(num_requests):
        writer.put(asked(i, num_tokens), exchange(i, answer))
    writer.close()


def records(rows: list[tuple[Asked, Exchange]], responses: list[Response]) -> Iterator[Record]:
    for (ask, sent), response in zip(rows, responses, strict=True):
        yield requests_file.record_of(ask, sent, response, start_s=0.0, keep_text=False)


def everything(spool: Path, target: Path) -> None:
    """As `runner.keep_records` does it."""
    requests_file.write(
        (
            requests_file.record_of(
                ask, sent, ENDPOINT.decode(sent, len), start_s=0.0, keep_text=False
            )
            for ask, sent in read_spool(spool)
        ),
        target,
    )


def parts(spool: Path) -> dict[str, Callable[[], object]]:
    rows = list(read_spool(spool))
    responses = [ENDPOINT.decode(sent, len) for _, sent in rows]
    kept = list(records(rows, responses))
    target = spool.with_name(requests_file.FILE_NAME)
    return {
        "read the spool": lambda: sum(1 for _ in read_spool(spool)),
        "decode": lambda: [None for _, sent in rows if ENDPOINT.decode(sent, len) is None],
        "make records": lambda: sum(1 for _ in records(rows, responses)),
        "write parquet": lambda: requests_file.write(kept, target),
        "all of it": lambda: everything(spool, target),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--requests", type=int, default=2_000)
    parser.add_argument("--tokens", type=int, default=256)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    num_events = options.requests * options.tokens
    for events_a_read in (1, 16):
        single = reads(options.tokens)
        starts = range(0, len(single), events_a_read)
        answer = [b"".join(single[start : start + events_a_read]) for start in starts]
        with tempfile.TemporaryDirectory() as folder:
            spool = Path(folder) / "0.arrows"
            make_spool(spool, options.requests, answer, options.tokens)
            print(f"{events_a_read} events a read")
            for name, work in parts(spool).items():
                gc.collect()
                us = best_us(work, options.repeats)
                print(f"  {name:20}{us / num_events:8.2f} us/event {us / 1e6:8.2f} CPU-s")


if __name__ == "__main__":
    main()
