"""GuideLLM 0.8's `benchmarks.json`. It keeps the first and the last token of a request, and none
between them: gaps are known on average alone."""

from datetime import UTC, datetime
from pathlib import Path

from msgspec import Struct

from benchsuite.errors import RunError
from benchsuite.results.imports.base import Imported, Request, decoded, imported, keys


class _Timings(Struct):
    request_start: float | None = None
    resolve_start: float | None = None
    first_token_iteration: float | None = None
    last_token_iteration: float | None = None
    request_end: float | None = None
    resolve_end: float | None = None


class _Info(Struct):
    timings: _Timings
    error: str | None = None


class _Tokens(Struct):
    total_tokens: int | None = None


class _Request(Struct):
    info: _Info
    input_metrics: _Tokens
    output_metrics: _Tokens


class _Requests(Struct):
    successful: list[_Request] = []
    errored: list[_Request] = []


class _Benchmark(Struct):
    requests: _Requests
    start_time: float


class _File(Struct):
    benchmarks: list[_Benchmark]


def read(path: Path) -> Imported | None:
    """Its first benchmark; a file of several is refused, since they are several runs."""
    raw = path.read_bytes() if path.is_file() else b""
    if not {"benchmarks", "metadata"} <= keys(raw):
        return None
    file = decoded(path, raw, _File, "GuideLLM")
    if len(file.benchmarks) != 1:
        raise RunError(f"{path}: holds {len(file.benchmarks)} benchmarks; one run is expected")
    benchmark = file.benchmarks[0]
    found = [_request(one, None) for one in benchmark.requests.successful]
    found += [_request(one, one.info.error or "error") for one in benchmark.requests.errored]
    return imported(
        "GuideLLM",
        [one for one in found if one is not None],
        model="unknown",
        arrivals=None,
        started_at=datetime.fromtimestamp(benchmark.start_time, UTC).isoformat(timespec="seconds"),
        notes=(
            "GuideLLM's clock is the wall clock",
            "GuideLLM keeps no times between the first and the last token: itl is their mean",
        ),
    )


def _request(one: _Request, error: str | None) -> Request | None:
    """None for one that never began."""
    timings = one.info.timings
    sent_s = timings.request_start or timings.resolve_start
    finished_s = timings.request_end or timings.resolve_end
    if sent_s is None or finished_s is None:
        return None
    output = one.output_metrics.total_tokens or 0
    ends = (timings.first_token_iteration, timings.last_token_iteration)
    came = [at for at in ends if at is not None]
    return Request(
        sent_s=sent_s,
        chunk_s=came if output > 1 else came[:1],
        finished_s=finished_s,
        prompt_tokens=one.input_metrics.total_tokens or 0,
        output_tokens=output,
        error=error,
    )
