"""Made-up runs for the report's tests: Poisson arrivals, a stall, failures, two SLO classes."""

import math

import numpy as np

from benchsuite.metrics.attainment import Attainment, Target
from benchsuite.metrics.base import Summary
from benchsuite.metrics.validity import Check
from benchsuite.records.table import FloatArray, RunData
from benchsuite.results.environment import Environment
from benchsuite.results.instrument import Instrument
from benchsuite.results.result import Counts, RunResult
from benchsuite.results.spread import Spread

LIMITS_S = {"interactive": {"ttft": 0.5, "tpot": 0.05}, "batch": {"ttft": 2.0}}


def make_data(
    num: int = 300,
    tokens: int = 40,
    *,
    rate: float = 10.0,
    fail: int = 3,
    classes: tuple[str, ...] = ("interactive", "batch"),
    is_closed: bool = False,
    seed: int = 1,
) -> RunData:
    """`num` requests of `tokens` output tokens each; the first `fail` of every 50th one fail."""
    rng = np.random.default_rng(seed)
    due_s = np.cumsum(rng.exponential(1 / rate, num))
    sent_s = due_s + rng.exponential(2e-4, num)
    first_s = sent_s + rng.lognormal(math.log(0.18), 0.45, num)
    gaps_s = rng.lognormal(math.log(0.02), 0.25, (num, max(tokens, 1)))
    gaps_s[:, 0] = 0
    chunk_s = first_s[:, None] + np.cumsum(gaps_s, axis=1)
    if num > 10:  # a stall: nothing arrives for 0.8 s in mid-run
        stall_s = due_s[num // 2]
        first_s = np.where(first_s > stall_s, np.maximum(first_s, stall_s + 0.8), first_s)
        late = chunk_s > stall_s
        chunk_s = np.where(
            late, np.maximum(chunk_s, stall_s + 0.8 + (chunk_s - stall_s) * 1e-3), chunk_s
        )
        chunk_s = np.sort(np.where(chunk_s > stall_s + 0.81, chunk_s, chunk_s), axis=1)
    failed = np.zeros(num, dtype=bool)
    failed[np.arange(num) % 50 < fail * (num >= 50)] = True
    if num < 50:
        failed[:fail] = True
    return _assemble(due_s, sent_s, chunk_s, failed, classes, tokens, is_closed)


def _assemble(
    due_s: FloatArray,
    sent_s: FloatArray,
    chunk_s: FloatArray,
    failed: np.ndarray,
    classes: tuple[str, ...],
    tokens: int,
    is_closed: bool,
) -> RunData:
    num = len(due_s)
    counts = np.where(failed, 0, tokens)
    first_s, last_s = chunk_s[:, 0], chunk_s[:, max(tokens - 1, 0)]
    lost = np.where(failed, np.nan, 1.0)
    ints = np.full(num, tokens, dtype=np.int64)
    end = float(due_s[-1]) if num else 1.0
    total = int(counts.sum())
    return RunData(
        request_id=np.arange(num),
        session_id=np.arange(num),
        turn=np.zeros(num, dtype=np.int64),
        worker=np.zeros(num, dtype=np.int64),
        slo_class=tuple(classes[i % len(classes)] for i in range(num)),
        priority=np.full(num, np.nan),
        tenant=("",) * num,
        model=("",) * num,
        due_s=np.full(num, np.nan) if is_closed else due_s,
        sent_s=sent_s,
        first_token_s=first_s * lost,
        first_output_s=first_s * lost,
        last_token_s=last_s * lost,
        finished_s=np.where(failed, sent_s + 0.05, last_s + 1e-4),
        connect_s=np.zeros(num),
        prompt_tokens_asked=ints * 8,
        prompt_tokens=ints * 8,
        cached_tokens=-np.ones(num, dtype=np.int64),
        output_tokens_asked=ints,
        must_reach_asked=np.ones(num, dtype=bool),
        output_tokens=counts.astype(np.int64),
        reasoning_tokens=-np.ones(num, dtype=np.int64),
        status=tuple("error" if bad else "ok" for bad in failed),
        error_class=tuple("http_500" if bad else "" for bad in failed),
        error=tuple("the server said: out of memory" if bad else "" for bad in failed),
        finish_reason=tuple("" if bad else "length" for bad in failed),
        tokens_from=("usage",) * num,
        stamp_source=("kernel",) * num,
        correct=-np.ones(num, dtype=np.int64),
        chunk_start=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        chunk_s=chunk_s[~failed, :tokens].ravel(),
        chunk_tokens=np.ones(total, dtype=np.int32),
        chunk_kind=np.zeros(total, dtype=np.int8),
        chunk_read=np.tile(np.arange(tokens, dtype=np.int32), int((~failed).sum())),
        chunk_lag_s=np.full(total, 3e-5, dtype=np.float32),
        window_s=(end * 0.1, end * 0.95) if num > 10 else (0.0, end + 1.0),
        num_planned=num,
        planned_due_s=np.empty(0) if is_closed else due_s,
    )


def make_result(data: RunData, *, verdict: str = "valid", **changes: object) -> RunResult:
    """A result as the metrics would sum `data` up, near enough for a page."""
    ok = int(data.ok.sum())
    end_s = float(np.nanmax(data.finished_s)) if len(data) else 0.0
    counted = data.in_window & data.ok
    waits_s = (data.first_token_s - data.origin_s)[counted]
    reasons = ("send_delay: p99 was 38 ms, more than 10 ms: the client was too slow",)
    fields: dict[str, object] = {
        "benchsuite_version": "0.1.0",
        "name": "chat-poisson",
        "description": "Does the chat service keep its targets at 10 requests/s?",
        "verdict": verdict,
        "reasons": reasons if verdict == "invalid" else (),
        "checks": make_checks(verdict == "valid"),
        "started_at": "2026-11-23T06:00:00Z",
        "duration_s": end_s,
        "window_s": data.window_s,
        "requests": Counts(
            planned=data.num_planned,
            sent=len(data),
            ok=ok,
            error=len(data) - ok,
            timeout=0,
            cancelled=0,
            in_window=int(data.in_window.sum()),
        ),
        "errors": {"http_500": len(data) - ok} if ok < len(data) else {},
        "summaries": make_summaries(waits_s),
        "attainment": make_attainment(data),
        "scenario": {
            "name": "chat-poisson",
            "seed": 1,
            "endpoint": {"type": "openai_chat", "api_key": "${env:API_KEY}"},
            "arrivals": {"type": "poisson", "rate": 10.0},
        },
        "environment": Environment(
            benchsuite="0.1.0",
            python="CPython 3.11.2",
            platform="Linux-6.1-x86_64",
            cpu_model="Example CPU",
            cores=2,
            memory_bytes=8 * 2**30,
            libraries={"uvloop": "0.22.1"},
            clock_resolution_s=1e-9,
        ),
        "instrument": Instrument(
            stamp_source={"kernel": 1.0, "user": 0.0, "virtual": 0.0},
            send_delay=Spread(n=len(data), p50=1.4e-4, p99=9e-4, max=2e-3),
            client_lag=Spread(n=len(data), p50=3e-5, p99=2e-4, max=1e-3),
            timer_resolution_s=1e-9,
        ),
        "command": "benchsuite run scenarios/chat-poisson.yaml --out runs/chat",
    }
    return RunResult(**(fields | changes))  # type: ignore[arg-type]


def make_summaries(waits_s: FloatArray) -> dict[str, Summary]:
    """ttft with all its numbers, tpot with a refused p99, a rate of the whole run."""
    if not len(waits_s):
        return {}
    p50, p90, p99 = (float(x) for x in np.quantile(waits_s, (0.5, 0.9, 0.99)))
    mean = float(waits_s.mean())
    return {
        "ttft": Summary(
            metric="ttft", title="Time to first token", unit="s", better="lower", n=len(waits_s),
            mean=mean, mean_ci=(mean * 0.97, mean * 1.03), p50=p50, p90=p90, p99=p99,
            p50_ci=(p50 * 0.97, p50 * 1.03), p90_ci=(p90 * 0.95, p90 * 1.06),
            p99_ci=(p99 * 0.9, p99 * 1.3),
        ),
        "tpot": Summary(
            metric="tpot", title="Time per output token", unit="s", better="lower", n=60,
            mean=0.0207, p50=0.0201, p90=0.0223, p50_ci=(0.0199, 0.0203), refused={"p99": 100},
        ),
        "attainment": Summary(
            metric="attainment", title="SLO attainment", unit="share", better="higher", n=1,
            mean=0.9, mean_ci=(0.86, 0.93),
        ),
        "send_delay": Summary(
            metric="send_delay", title="Send delay", unit="s", better="lower", n=len(waits_s),
            mean=0.0002, p50=0.00014, p90=0.0004, p99=0.0009,
        ),
        "request_rate": Summary(
            metric="request_rate", title="Request rate", unit="requests/s", better="higher", n=1,
            mean=9.77,
        ),
        "output_token_rate": Summary(
            metric="output_token_rate", title="Output token rate", unit="tokens/s",
            better="higher", n=1, mean=391.5, mean_ci=(380.2, 401.0),
        ),
    }  # fmt: skip


def make_attainment(data: RunData) -> dict[str, Attainment]:
    """Every target met by 9 of 10 of the class's requests."""
    found = {}
    for name in sorted(set(data.slo_class)):
        num = data.slo_class.count(name)
        met = num * 9 // 10
        share, interval = (met / num, (max(met / num - 0.04, 0.0), min(met / num + 0.03, 1.0)))
        found[name] = Attainment(
            num=num, met=met, share=share, interval=interval, good_rate=met / 30,
            slos={
                metric: Target(limit=limit, met=met, share=share, interval=interval)
                for metric, limit in LIMITS_S.get(name, {}).items()
            },
        )  # fmt: skip
    return found


def make_checks(all_ok: bool) -> tuple[Check, ...]:
    return (
        Check(
            name="send_delay", ok=all_ok, hard=True, value=0.0009 if all_ok else 0.038, limit=0.01,
            unit="s", sentence="99 % of requests left within 0.9 ms of when they were due.",
        ),
        Check(
            name="errors", ok=True, hard=True, value=0.01, limit=0.05, unit="share",
            sentence="1 % of the requests failed.",
        ),
        Check(
            name="output_lengths", ok=True, hard=False, value=None, limit=None, unit="tokens",
            sentence="No output had to be of a given length.",
        ),
    )  # fmt: skip
