"""The flat JSON of `vllm bench serve --save-result --save-detailed` (0.32), and of the many tools
that write it."""

from datetime import UTC, datetime
from itertools import accumulate
from pathlib import Path

from msgspec import Struct

from benchsuite.arrivals import Arrivals
from benchsuite.arrivals.closed_loop import ClosedLoop
from benchsuite.arrivals.gamma import Gamma
from benchsuite.errors import RunError
from benchsuite.results.imports.base import Imported, Request, decoded, imported, keys


class _File(Struct):
    input_lens: list[int]
    output_lens: list[int]
    ttfts: list[float]
    itls: list[list[float]]
    start_times: list[float]
    errors: list[str]
    date: str = "19700101-000000"
    model_id: str | None = None
    request_rate: float | str | None = None
    burstiness: float = 1.0
    max_concurrency: int | None = None


def read(path: Path) -> Imported | None:
    """Its chunks are timed one by one; a request without output failed."""
    raw = path.read_bytes()
    found = keys(raw)
    if not {"model_id", "request_throughput"} <= found:
        return None
    if not {"ttfts", "itls", "start_times"} <= found:
        raise RunError(f"{path}: holds no single requests; have vLLM write --save-detailed")
    file = decoded(path, raw, _File, "vLLM")
    num = len(file.start_times)
    columns = (file.ttfts, file.itls, file.input_lens, file.output_lens, file.errors)
    if any(len(column) != num for column in columns):
        raise RunError(f"{path}: its arrays are of different lengths")
    requests = [_request(file, at) for at in range(num)]
    return imported(
        "vLLM",
        requests,
        model=file.model_id or "unknown",
        arrivals=_arrivals(file),
        started_at=_started_at(path, file.date),
    )


def _started_at(path: Path, date: str) -> str:
    """As the client in Python writes it, or the one in Rust."""
    is_iso = "-" in date[:8]
    try:
        if is_iso:
            return datetime.fromisoformat(date).astimezone(UTC).isoformat()
        return datetime.strptime(date, "%Y%m%d-%H%M%S").replace(tzinfo=UTC).isoformat()
    except ValueError:
        raise RunError(f"{path}: date {date!r}: expected YYYYMMDD-HHMMSS or ISO 8601") from None


def _request(file: _File, at: int) -> Request:
    sent_s, output = file.start_times[at], file.output_lens[at]
    chunk_s = list(accumulate(file.itls[at], initial=sent_s + file.ttfts[at]))
    said = file.errors[at].strip().rpartition("\n")[2]
    return Request(
        sent_s=sent_s,
        chunk_s=chunk_s,
        finished_s=chunk_s[-1],
        prompt_tokens=file.input_lens[at],
        output_tokens=output,
        error=None if output and not said else said or "no output",
    )


def _arrivals(file: _File) -> Arrivals | None:
    if isinstance(file.request_rate, float) and file.request_rate > 0:
        return Gamma(rate=file.request_rate, burstiness=file.burstiness)
    return ClosedLoop(concurrency=file.max_concurrency) if file.max_concurrency else None
