"""A curve written by hand."""

from typing import Any

from benchsuite.results.curve import Curve, Machine, RequestPoint, TokenPoint
from benchsuite.results.spread import Spread

MACHINE = Machine(
    benchsuite="0.1.0", python="CPython 3.11.9", platform="Linux", cpu_model="<b>one", cores=2
)


def spread(p99_s: float) -> Spread:
    return Spread(n=1000, p50=p99_s / 10, p99=p99_s, max=p99_s * 2)


def token_point(streams: int, p99_s: float = 5e-5, **changes: Any) -> TokenPoint:
    """50 tokens/s each, all delivered, well stamped by the kernel."""
    usual: dict[str, Any] = {
        "streams": streams,
        "asked_tokens_per_s": streams * 50.0,
        "tokens_per_s": streams * 50.0,
        "stamp_source": "kernel",
        "stamp_error": spread(p99_s),
        "user_error": spread(p99_s * 20),
        "cpu_per_token_s": 12e-6,
        "shared": 0.0,
        "emitter_lateness": spread(2e-5),
        "num_blocked": 0,
        "longest_stall_s": 0.0,
        "others_cpu": 0.1,
    }
    return TokenPoint(**(usual | changes))


def request_point(rate: float, p99_s: float = 4e-4, **changes: Any) -> RequestPoint:
    usual: dict[str, Any] = {
        "asked_per_s": rate,
        "sent_per_s": rate,
        "send_delay": spread(p99_s),
        "sent_error": spread(3e-5),
        "cpu_per_request_s": 3e-4,
        "others_cpu": 0.1,
    }
    return RequestPoint(**(usual | changes))


def curve(**changes: Any) -> Curve:
    """Trusted up to 64 streams and 100 requests/s; at 200 and 500 it was too late."""
    usual: dict[str, Any] = {
        "made_at": "2026-01-01T00:00:00+00:00",
        "is_quick": False,
        "machine": MACHINE,
        "tokens": (
            token_point(16),
            token_point(64, 8e-5),
            token_point(200, 2e-3),
            token_point(64, 9e-3, asked_tokens_per_s=None, tokens_per_s=1e5, num_blocked=3),
        ),
        "requests": (request_point(50), request_point(100), request_point(500, 3e-3)),
    }
    return Curve(**(usual | changes))
