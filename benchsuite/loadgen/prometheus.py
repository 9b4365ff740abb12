"""A run's counters for Prometheus, while it goes on: its text format 0.0.4, at `/metrics`."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from socketserver import StreamRequestHandler, ThreadingTCPServer
from typing import Final

import numpy as np
from numpy.typing import NDArray

from benchsuite.errors import ScenarioError
from benchsuite.loadgen.counters import UPPER_S, Reading, reading

PREFIX: Final = "benchsuite_provisional"
CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
WITHIN_S: Final = 5.0  # a request has to be here
LINE_BYTES: Final = 8192
_EVERY: Final = 4  # buckets of ours that are one of theirs: two an octave
_HELP: Final = {
    "ttft": "From due (in a closed loop: sent) to the read that brought the first event.",
    "itl": "Between reads of a stream.",
    "send_delay": "From due to sent.",
    "client_lag": "From the kernel's stamp of a read to the program's.",
}


def exposition(seen: Reading) -> str:
    """The counters as text. Quantities may differ from the result, so their names say so."""
    lines = []
    counters = {
        "sessions_begun_total": (seen.num_begun, "Sessions begun."),
        "requests_sent_total": (seen.num_sent, "Requests sent."),
        "requests_ended_total": (seen.num_ended, "Requests that ended, well or not."),
        "reads_total": (seen.num_reads, "Reads of answers; about one a token."),
    }
    for name, (value, told) in counters.items():
        lines += [*_head(name, "counter", told), f"{PREFIX}_{name} {value}"]
    lines += _head("requests_in_flight", "gauge", "Requests that have not ended.")
    lines.append(f"{PREFIX}_requests_in_flight {seen.num_sent - seen.num_ended}")
    lines += _head("errors_total", "counter", "Requests that failed, by class.")
    for name, num in seen.errors.items():
        lines.append(f'{PREFIX}_errors_total{{class="{name}"}} {num}')
    for name, counts in seen.series.items():
        lines += _histogram(f"{name}_seconds", _HELP[name], counts)
    return "\n".join(lines) + "\n"


def _head(name: str, kind: str, told: str) -> list[str]:
    return [f"# HELP {PREFIX}_{name} {told}", f"# TYPE {PREFIX}_{name} {kind}"]


def _histogram(name: str, told: str, counts: NDArray[np.int64]) -> list[str]:
    """`_sum` takes the upper end of each bucket: at most an eighth too much."""
    so_far = np.cumsum(counts)
    ends = range(_EVERY - 1, len(counts) - 1, _EVERY)
    buckets = [f'{PREFIX}_{name}_bucket{{le="{UPPER_S[at]:.6g}"}} {so_far[at]}' for at in ends]
    return [
        *_head(name, "histogram", told),
        *buckets,
        f'{PREFIX}_{name}_bucket{{le="+Inf"}} {so_far[-1]}',
        f"{PREFIX}_{name}_sum {float(counts @ UPPER_S):.6g}",
        f"{PREFIX}_{name}_count {so_far[-1]}",
    ]


def refuse_taken(host: str, port: int) -> None:
    """Raises ScenarioError now, before anything was started, if `served` could not listen there."""
    with _listening(host, port, StreamRequestHandler):
        return


@contextmanager
def served(host: str, port: int, count: Callable[[], NDArray[np.int64]]) -> Iterator[str]:
    """Listen until the block ends; gives the url. Raises ScenarioError if the port is taken."""

    class Handler(StreamRequestHandler):
        timeout = WITHIN_S

        def handle(self) -> None:
            try:
                words = self.rfile.readline(LINE_BYTES).split()
                while self.rfile.readline(LINE_BYTES).strip():
                    pass  # headers say nothing that matters here
            except TimeoutError:
                return
            is_known = len(words) > 1 and words[1].partition(b"?")[0] == b"/metrics"
            body = exposition(reading(count())) if is_known else "it is at /metrics\n"
            self.wfile.write(_answer("200 OK" if is_known else "404 Not Found", body.encode()))

    server = _listening(host, port, Handler)
    thread = threading.Thread(target=server.serve_forever, name="prometheus", daemon=True)
    thread.start()
    shown = f"[{host}]" if ":" in host else host
    try:
        yield f"http://{shown}:{server.server_address[1]}/metrics"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _listening(host: str, port: int, handler: type[StreamRequestHandler]) -> "_Server":
    kind = _Server6 if ":" in host else _Server
    try:
        return kind((host, port), handler)
    except OSError as error:
        raise ScenarioError(f"--listen {host}:{port}: {error.strerror}") from error


def _answer(status: str, body: bytes) -> bytes:
    head = f"HTTP/1.1 {status}\r\nContent-Type: {CONTENT_TYPE}\r\nContent-Length: {len(body)}\r\n"
    return f"{head}Connection: close\r\n\r\n".encode() + body


class _Server(ThreadingTCPServer):
    allow_reuse_address = daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Whoever asked has gone: nothing of the run, and the terminal is the dashboard's."""


class _Server6(_Server):
    address_family = socket.AF_INET6
