"""Whether a run may be believed: checks of the instrument and of the load, each one sentence.

The checks look at the benchmark, not at the server: a slow server is a result, a late client is
none. A failed hard check makes the run invalid, a soft one is a warning. Limits have defaults that
do not depend on the scenario; a scenario may state its own.
"""

from collections.abc import Iterable
from typing import Literal, NamedTuple

import numpy as np
from msgspec import Struct

from benchsuite.metrics.generator import issue_delay
from benchsuite.metrics.latency import itl, ttft
from benchsuite.metrics.slo import counted_requests, num_unrecorded
from benchsuite.records.table import BoolArray, FloatArray, RunData
from benchsuite.spec import Count, Positive, Seconds, Share, Spec


class Validity(Spec, frozen=True):
    """Limits beyond which a run does not count."""

    send_delay: Seconds = 0.005  # p99 of the client's own lateness; or, if that is larger,
    send_delay_share: Share = 0.05  # this share of the median ttft
    client_lag: Seconds = 0.001  # p99 of read - arrived in the kernel; or, if that is larger,
    client_lag_share: Share = 0.05  # this share of the median itl
    kernel_stamp_slack: Positive = 10.0  # times more lag is borne where the kernel's stamps count
    load_error: Share = 0.02  # sessions not sent; difference of the achieved and the asked rate
    short_outputs: Share = 0.01  # share of outputs that are not as long as they had to be
    prompt_error: Share = 0.1  # median difference of the server's prompt tokens and those asked
    errors: Share = 0.01  # share of requests that did not end well
    min_requests: Count = 1  # that ended well in the measurement window
    min_window: Positive = 3.0  # length of the window, in median answers
    tokens_per_chunk: Positive = 1.05  # mean; above it itl is shared out, not measured


class Check(Struct, frozen=True, kw_only=True):
    """One question put to a run. A failed hard check makes it invalid, a soft one warns."""

    name: str
    ok: bool
    hard: bool
    value: float | None  # None: there was nothing to measure
    limit: float | None
    unit: str
    sentence: str  # with the number and the limit, for people


class Verdict(NamedTuple):
    verdict: Literal["valid", "invalid"]
    reasons: tuple[str, ...]
    warnings: tuple[str, ...]


def checks(data: RunData, limits: Validity) -> tuple[Check, ...]:
    """Every check that applies to this run."""
    candidates = (
        _partial(data),
        _enough_requests(data, limits),
        _send_delay(data, limits),
        _issue_delay(data, limits),
        *_client_lag(data, limits),
        _delivered(data, limits),
        _achieved_rate(data, limits),
        *_output_lengths(data, limits),
        _prompt_lengths(data, limits),
        _errors(data, limits),
        *_token_counts(data, limits),
        _window_length(data, limits),
    )
    return tuple(check for check in candidates if check is not None)


def judge(found: Iterable[Check]) -> Verdict:
    """Valid unless a hard check failed."""
    failed = [check for check in found if not check.ok]
    reasons = tuple(check.sentence for check in failed if check.hard)
    warnings = tuple(check.sentence for check in failed if not check.hard)
    return Verdict("invalid" if reasons else "valid", reasons, warnings)


def _partial(data: RunData) -> Check:
    return Check(
        name="complete",
        ok=data.partial is None,
        hard=True,
        value=None,
        limit=None,
        unit="",
        sentence="the run is complete" if data.partial is None else f"incomplete: {data.partial}",
    )


def _enough_requests(data: RunData, limits: Validity) -> Check:
    num = int(np.count_nonzero(data.in_window & data.ok))
    return Check(
        name="requests",
        ok=num >= limits.min_requests,
        hard=True,
        value=num,
        limit=limits.min_requests,
        unit="requests",
        sentence=f"{num:,} requests in the measurement window ended well "
        f"(at least {limits.min_requests:,} needed)",
    )


def _send_delay(data: RunData, limits: Validity) -> Check | None:
    """The client's own lateness: without the time to open a connection, which is the server's."""
    late_s = _known((data.sent_s - data.due_s - data.connect_s)[data.in_window])
    if not len(late_s):
        return None
    limit_s = max(limits.send_delay, limits.send_delay_share * _median(ttft(data)[_usable(data)]))
    p99_s = _p99(late_s)
    return Check(
        name="send_delay",
        ok=p99_s <= limit_s,
        hard=True,
        value=p99_s,
        limit=limit_s,
        unit="s",
        sentence=f"requests left up to {_ms(p99_s)} late (p99; limit {_ms(limit_s)})"
        + ("" if p99_s <= limit_s else ": the client was too slow for this load"),
    )


def _issue_delay(data: RunData, limits: Validity) -> Check | None:
    """Soft: a late request of a closed loop is measured right, but the load is a little lower."""
    late_s = _known(issue_delay(data)[data.in_window])
    if not len(late_s):
        return None
    limit_s = max(limits.send_delay, limits.send_delay_share * _median(ttft(data)[_usable(data)]))
    p99_s = _p99(late_s)
    return Check(
        name="issue_delay",
        ok=p99_s <= limit_s,
        hard=False,
        value=p99_s,
        limit=limit_s,
        unit="s",
        sentence=f"a free slot waited up to {_ms(p99_s)} for its next request "
        f"(p99; limit {_ms(limit_s)})",
    )


def _client_lag(data: RunData, limits: Validity) -> list[Check]:
    """Two limits where the kernel's stamps count: they are right however late the program reads,
    so a moderate lag only says that the machine is busy."""
    counted = data.in_window[data.request_of_chunk]
    lag_s = _known(data.chunk_lag_s[counted])
    if not len(lag_s):
        return []
    gaps_s = itl(data)
    median_s = _median(gaps_s[_usable(data)[data.request_of_token]])
    limit_s = max(limits.client_lag, limits.client_lag_share * median_s)
    is_kernel = all(source == "kernel" for source in data.stamp_source if source != "virtual")
    p99_s = _p99(lag_s)
    words = f"bytes waited up to {_ms(p99_s)} until the client read them (p99; limit "
    if not is_kernel:
        return [_lag_check("client_lag", p99_s, limit_s, f"{words}{_ms(limit_s)})", is_hard=True)]
    most_s = limit_s * limits.kernel_stamp_slack
    busy = f"{words}{_ms(limit_s)}); the kernel's time stamps count, which are not affected"
    return [
        _lag_check("client_lag", p99_s, most_s, f"{words}{_ms(most_s)})", is_hard=True),
        _lag_check("client_busy", p99_s, limit_s, busy, is_hard=False),
    ]


def _lag_check(name: str, p99_s: float, limit_s: float, sentence: str, *, is_hard: bool) -> Check:
    return Check(
        name=name,
        ok=p99_s <= limit_s,
        hard=is_hard,
        value=p99_s,
        limit=limit_s,
        unit="s",
        sentence=sentence,
    )


def _delivered(data: RunData, limits: Validity) -> Check | None:
    """Open loop: of the sessions that were due, how many had their first request sent."""
    asked = len(data.planned_due_s)
    if not asked:
        return None
    sent = int(np.count_nonzero((data.turn == 0) & ~np.isnan(data.sent_s)))
    share = sent / asked
    return Check(
        name="delivered",
        ok=share >= 1 - limits.load_error,
        hard=True,
        value=share,
        limit=1 - limits.load_error,
        unit="share",
        sentence=f"{sent:,} of {asked:,} planned sessions were sent "
        f"(at least {_percent(1 - limits.load_error)} needed)",
    )


def _achieved_rate(data: RunData, limits: Validity) -> Check | None:
    """Open loop: rate at which first requests left against the rate at which they were due."""
    asked = _rate(data.planned_due_s)
    sent = _rate(_known(data.sent_s[data.turn == 0]))
    if asked is None or sent is None:
        return None
    error = abs(sent / asked - 1)
    return Check(
        name="achieved_rate",
        ok=error <= limits.load_error,
        hard=True,
        value=error,
        limit=limits.load_error,
        unit="share",
        sentence=f"sessions were sent at {sent:.4g}/s, asked were {asked:.4g}/s "
        f"(off by {_percent(error)}; limit {_percent(limits.load_error)})",
    )


def _rate(at_s: FloatArray) -> float | None:
    """Events per second between the first and the last; None if that is no time at all."""
    if len(at_s) < 2 or at_s.max() <= at_s.min():
        return None
    return float((len(at_s) - 1) / (at_s.max() - at_s.min()))


def _output_lengths(data: RunData, limits: Validity) -> list[Check]:
    """Soft where only our tokenizer counted: the text may be as long as asked in other tokens."""
    bound = _usable(data) & data.must_reach_asked
    by_server = np.array([source in ("usage", "running_usage") for source in data.tokens_from])
    return [
        _output_length(data, bound & chosen, limits, is_hard=is_hard)
        for chosen, is_hard in ((by_server, True), (~by_server, False))
        if (bound & chosen).any()
    ]


def _output_length(data: RunData, bound: BoolArray, limits: Validity, *, is_hard: bool) -> Check:
    num = int(np.count_nonzero(bound))
    off = int(np.count_nonzero(data.output_tokens[bound] != data.output_tokens_asked[bound]))
    counted = "" if is_hard else ", as far as this client's tokenizer can tell"
    return Check(
        name="output_tokens" if is_hard else "output_tokens_counted",
        ok=off / num <= limits.short_outputs,
        hard=is_hard,
        value=off / num,
        limit=limits.short_outputs,
        unit="share",
        sentence=f"{off:,} of {num:,} answers that had to be of a given length were of another"
        f"{counted} (limit {_percent(limits.short_outputs)})",
    )


def _prompt_lengths(data: RunData, limits: Validity) -> Check | None:
    chosen = _usable(data) & (data.prompt_tokens_asked > 0)
    if not chosen.any():
        return None
    error = _median(
        np.abs(data.prompt_tokens / np.maximum(data.prompt_tokens_asked, 1) - 1)[chosen]
    )
    return Check(
        name="prompt_tokens",
        ok=error <= limits.prompt_error,
        hard=False,
        value=error,
        limit=limits.prompt_error,
        unit="share",
        sentence=f"prompts were off by {_percent(error)} from the tokens asked (median; limit "
        f"{_percent(limits.prompt_error)}): the server's chat template, or another tokenizer",
    )


def _errors(data: RunData, limits: Validity) -> Check | None:
    counted = counted_requests(data)
    unrecorded = num_unrecorded(data)
    num = int(np.count_nonzero(counted)) + unrecorded
    if not num:
        return None
    failed = int(np.count_nonzero(counted & ~data.ok)) + unrecorded
    return Check(
        name="errors",
        ok=failed / num <= limits.errors,
        hard=True,
        value=failed / num,
        limit=limits.errors,
        unit="share",
        sentence=f"{failed:,} of {num:,} requests did not end well (limit "
        f"{_percent(limits.errors)}): latencies are of those that did",
    )


def _token_counts(data: RunData, limits: Validity) -> list[Check]:
    usable = _usable(data)
    num = max(1, int(np.count_nonzero(usable)))
    source = np.array(data.tokens_from)
    guessed = int(np.count_nonzero(usable & (source == "chunks"))) / num
    counted = int(np.count_nonzero(usable & (source == "tokenizer"))) / num
    found = [
        Check(
            name="tokens_known",
            ok=guessed == 0,
            hard=True,
            value=guessed,
            limit=0.0,
            unit="share",
            sentence=f"of {_percent(guessed)} of the answers only the chunks could be counted, "
            "not the tokens",
        ),
        Check(
            name="tokens_from_server",
            ok=counted == 0,
            hard=False,
            value=counted,
            limit=0.0,
            unit="share",
            sentence=f"the server gave no token counts for {_percent(counted)} of the answers: "
            "they were counted by this client's tokenizer",
        ),
    ]
    chosen = usable[data.request_of_chunk]
    if chosen.any():
        found.append(_fat_chunks(float(data.chunk_tokens[chosen].mean()), limits))
    return found


def _fat_chunks(mean: float, limits: Validity) -> Check:
    return Check(
        name="tokens_per_chunk",
        ok=mean <= limits.tokens_per_chunk,
        hard=False,
        value=mean,
        limit=limits.tokens_per_chunk,
        unit="tokens",
        sentence=f"a chunk held {mean:.3g} tokens on average (limit {limits.tokens_per_chunk:g}): "
        "itl shares a chunk's gap among its tokens, icl does not",
    )


def _window_length(data: RunData, limits: Validity) -> Check | None:
    """Rates over a window of few answers depend on where it happens to cut."""
    answer_s = _median((data.finished_s - data.sent_s)[_usable(data)])
    if answer_s <= 0:
        return None
    length = (data.window_s[1] - data.window_s[0]) / answer_s
    return Check(
        name="window_length",
        ok=length >= limits.min_window,
        hard=False,
        value=length,
        limit=limits.min_window,
        unit="answers",
        sentence=f"the measurement window is {length:.3g} times as long as a median answer (at "
        f"least {limits.min_window:g} wanted): rates depend on its edges",
    )


def _usable(data: RunData) -> BoolArray:
    return data.in_window & data.ok


def _known(values: FloatArray) -> FloatArray:
    known: FloatArray = values[~np.isnan(values)]
    return known


def _median(values: FloatArray) -> float:
    """0 where there is none, so that a limit's fixed part holds."""
    known = _known(values)
    return float(np.median(known)) if len(known) else 0.0


def _p99(values: FloatArray) -> float:
    """Of the sample as it is; a check needs no interval."""
    return float(np.quantile(values, 0.99))


def _ms(value_s: float) -> str:
    return f"{value_s * 1e3:.3g} ms"


def _percent(share: float) -> str:
    return f"{share * 100:.3g} %"
