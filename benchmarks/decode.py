"""What reading an answer costs, in microseconds of CPU per event: on the hot path and after it.

    python benchmarks/decode.py [--events 256] [--repeats 200]

The answer is vLLM's chat stream, about 250 bytes an event, one event a read. Each row is the best
of many repeats, in one process on one core; nothing else should run.
"""

import argparse
import gc
import time
from collections.abc import Callable

from benchsuite.endpoints.http_framing import ResponseEnd, unframe
from benchsuite.endpoints.openai_dialect import decode_stream
from benchsuite.endpoints.sse import parse
from benchsuite.exchange import Exchange

HEAD = (
    b"HTTP/1.1 200 OK\r\ndate: Mon, 23 Nov 2026 06:00:00 GMT\r\nserver: uvicorn\r\n"
    b"content-type: text/event-stream; charset=utf-8\r\ntransfer-encoding: chunked\r\n\r\n"
)
EVENT = (
    b'data: {"id":"chatcmpl-8f2d3c4b5a697887","object":"chat.completion.chunk","created":1700000000'
    b',"model":"Qwen/Qwen3-0.6B","choices":[{"index":0,"delta":{"%s":%s},"logprobs":null,'
    b'"finish_reason":%s,"token_ids":null}]%s}\n\n'
)
USAGE = b',"usage":{"prompt_tokens":%d,"total_tokens":%d,"completion_tokens":%d}'


def reads(num_tokens: int, *, running_usage: bool = False) -> list[bytes]:
    """An answer of `num_tokens`, each event a read of its own."""
    events = [EVENT % (b"role", b'"assistant"', b"null", b"")]
    for i in range(1, num_tokens + 1):
        usage = USAGE % (128, 128 + i, i) if running_usage else b""
        events.append(EVENT % (b"content", b'" word%d"' % (i % 97), b"null", usage))
    events.append(EVENT % (b"content", b'""', b'"length"', b""))
    events.append(b'data: {"choices":[]' + USAGE % (128, 128 + num_tokens, num_tokens) + b"}\n\n")
    events.append(b"data: [DONE]\n\n")
    return [HEAD, *(b"%x\r\n%s\r\n" % (len(e), e) for e in events), b"0\r\n\r\n"]


def exchange(answer: list[bytes]) -> Exchange:
    return Exchange(
        request_id=0,
        stamp_source="user",
        framing="http",
        reads=answer,
        read_s=[0.02 * i for i in range(len(answer))],
    )


def feed(answer: list[bytes]) -> None:
    """What a transport does with each read besides storing it."""
    end = ResponseEnd()
    for read in answer:
        end.feed(read)


def best_us(work: Callable[[], object], repeats: int) -> float:
    """Seconds of CPU of the quickest repeat, in microseconds."""
    times_s = []
    for _ in range(repeats):
        start_s = time.process_time_ns()
        work()
        times_s.append(time.process_time_ns() - start_s)
    return min(times_s) / 1e3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--events", type=int, default=256, help="token events an answer")
    parser.add_argument("--repeats", type=int, default=200)
    options = parser.parse_args()
    answer = reads(options.events)
    framed = unframe(answer)
    plain, running = exchange(answer), exchange(reads(options.events, running_usage=True))
    rows: dict[str, Callable[[], object]] = {
        "hot path: is the response over?": lambda: feed(answer),
        "take off HTTP framing": lambda: unframe(answer),
        "find events": lambda: parse(framed.body, framed.read_end),
        "decode, all of it": lambda: decode_stream(plain, len),
        "decode with running usage": lambda: decode_stream(running, len),
    }
    gc.disable()
    for name, work in rows.items():
        print(f"{name:34}{best_us(work, options.repeats) / options.events:8.2f} us/event")


if __name__ == "__main__":
    main()
