"""Whether a run may be believed: checks of the instrument and of the load, each one sentence.

The checks look at the benchmark, not at the server: a slow server is a result, a late client is
none. A failed hard check makes the run invalid: it was cut off, too few requests or too many
errors, a load that was not delivered, a client that sent or read too late, outputs of another
length than demanded, tokens that nobody could count. A soft one is a warning. Limits have defaults
that do not depend on the scenario; a scenario may state its own under `validity`.
"""

from collections.abc import Iterable
from typing import Annotated, Literal, NamedTuple

import numpy as np
from msgspec import Meta, Struct, structs

from benchsuite.exchange import EMBEDDED
from benchsuite.metrics.attainment import counted_requests, num_unrecorded
from benchsuite.metrics.generator import client_lag, issue_delay
from benchsuite.metrics.latency import median_itl, ttft
from benchsuite.metrics.statistics import most_by_chance
from benchsuite.records.table import BoolArray, FloatArray, RunData
from benchsuite.spec import Count, Positive, Seconds, Share, Spec

Tokens = Annotated[int, Meta(ge=0)]


class Validity(Spec, frozen=True):
    """Limits beyond which a run does not count."""

    send_delay: Seconds = 0.005  # how late the client itself may send 99 % of requests, or
    send_delay_share: Share = 0.05  # this share of the median ttft, whichever is more
    client_lag: Seconds = 0.001  # how late it may read what the kernel has (p99), or
    client_lag_share: Share = 0.05  # this share of the median itl, whichever is more
    kernel_lag: Seconds = 0.1  # as much, where the kernel's stamps count
    load_error: Share = 0.02  # share of sessions not sent; and of the rate missed or exceeded
    idle_slots: Share = 0.05  # share of a closed loop's slot time without a request in flight
    short_outputs: Share = 0.01  # share of outputs that have not the length they had to have
    prompt_error: Share = 0.1  # difference of the prompt tokens achieved and asked (median),
    template_tokens: Tokens = 64  # beyond so many tokens that a chat template may add
    errors: Share = 0.01  # share of requests that may end in an error, timeout or not at all
    min_requests: Count = 1  # that must have ended well in the measurement window
    min_window: Positive = 5.0  # least length of the window, in median answers
    tokens_per_chunk: Positive = 1.05  # mean above which itl is shared out more than measured


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
        _complete(data),
        _enough_requests(data, limits),
        _errors(data, limits),
        _empty_answers(data, limits),
        _delivered(data, limits),
        _achieved_rate(data, limits),
        _send_delay(data, limits),
        *_concurrency(data, limits),
        *_client_lag(data, limits),
        _stamps(data),
        *_output_lengths(data, limits),
        _prompt_lengths(data, limits),
        *_token_counts(data),
        _tokens_per_chunk(data, limits),
        _window_length(data, limits),
    )
    return tuple(check for check in candidates if check is not None)


def judge(found: Iterable[Check]) -> Verdict:
    """Valid unless a hard check failed."""
    failed = [check for check in found if not check.ok]
    reasons = tuple(check.sentence for check in failed if check.hard)
    warnings = tuple(check.sentence for check in failed if not check.hard)
    return Verdict("invalid" if reasons else "valid", reasons, warnings)


def _at_most(
    name: str, value: float, limit: float, unit: str, fact: str, *, hard: bool, so: str = ""
) -> Check:
    """`fact` is said in any case, `so` (what follows from it) if the limit was passed."""
    ok = value <= limit
    sentence = f"{fact}: {so}" if so and not ok else fact
    return Check(
        name=name, ok=ok, hard=hard, value=value, limit=limit, unit=unit, sentence=sentence
    )


def _at_least(
    name: str, value: float, limit: float, unit: str, fact: str, *, hard: bool, so: str = ""
) -> Check:
    check = _at_most(name, -value, -limit, unit, fact, hard=hard, so=so)
    return structs.replace(check, value=value, limit=limit)


def _complete(data: RunData) -> Check:
    is_partial = data.partial is not None
    fact = f"the run is not complete: {data.partial}" if is_partial else "the run is complete"
    return Check(
        name="complete",
        ok=not is_partial,
        hard=True,
        value=None,
        limit=None,
        unit="",
        sentence=fact,
    )


def _enough_requests(data: RunData, limits: Validity) -> Check:
    num, least = int(np.count_nonzero(_usable(data))), limits.min_requests
    fact = f"{num:,} requests of the measurement window ended well (at least {least:,} needed)"
    return _at_least("requests", num, least, "requests", fact, hard=True)


def _errors(data: RunData, limits: Validity) -> Check | None:
    counted, unrecorded = counted_requests(data), num_unrecorded(data)
    num = int(np.count_nonzero(counted)) + unrecorded
    if not num:
        return None
    failed = int(np.count_nonzero(counted & ~data.ok)) + unrecorded
    limit = limits.errors
    fact = f"{failed:,} of {num:,} requests did not end well (limit {_percent(limit)})"
    so = "latencies are those of the others"
    return _at_most("errors", failed / num, limit, "share", fact, hard=True, so=so)


def _empty_answers(data: RunData, limits: Validity) -> Check | None:
    """An answer that ended well without a token has no ttft: it would pass unseen. Embeddings have
    none by nature."""
    usable = _usable(data) & (np.array(data.finish_reason) != EMBEDDED)
    num, limit = int(np.count_nonzero(usable)), limits.errors
    if not num:
        return None
    empty = int(np.count_nonzero(usable & np.isnan(data.first_token_s)))
    fact = f"{empty:,} of {num:,} answers that ended well hold no token (limit {_percent(limit)})"
    so = "latencies are those of the others"
    return _at_most("empty_answers", empty / num, limit, "share", fact, hard=True, so=so)


def _delivered(data: RunData, limits: Validity) -> Check | None:
    """Open loop: of the sessions that were due, how many had their first request sent."""
    asked = len(data.planned_due_s)
    if not asked:
        return None
    sent, least = int(np.count_nonzero((data.turn == 0) & _was_sent(data))), 1 - limits.load_error
    fact = f"{sent:,} of {asked:,} planned sessions were sent (at least {_percent(least)} needed)"
    return _at_least("delivered", sent / asked, least, "share", fact, hard=True)


def _achieved_rate(data: RunData, limits: Validity) -> Check | None:
    """Open loop: rate at which first requests left against the rate at which they were due.

    The time to open a connection is the server's. A run so short that the lateness allowed to
    single requests changes its rate by more than the limit is judged by that.
    """
    first = (data.turn == 0) & _was_sent(data)
    asked, sent = _rate(data.due_s[first]), _rate((data.sent_s - data.connect_s)[first])
    if asked is None or sent is None:
        return None
    span_s = float(np.ptp(data.due_s[first]))
    error, limit = abs(sent / asked - 1), max(limits.load_error, limits.send_delay / span_s)
    fact = (
        f"sessions were sent at {sent:.4g}/s where {asked:.4g}/s were asked "
        f"({_percent(error)} off; limit {_percent(limit)})"
    )
    return _at_most("achieved_rate", error, limit, "share", fact, hard=True)


def _rate(at_s: FloatArray) -> float | None:
    """Events per second between the first and the last; None if that is no time at all."""
    if len(at_s) < 2 or not at_s.max() > at_s.min():
        return None
    return float((len(at_s) - 1) / (at_s.max() - at_s.min()))


def _send_delay(data: RunData, limits: Validity) -> Check | None:
    """The client's own lateness: without the time to open a connection, which is the server's.

    Its p99 is above the limit if more requests are than chance would put there with 1 % each: of a
    hundred three may be late, of ten one.
    """
    late_s = _known((data.sent_s - data.due_s - data.connect_s)[data.in_window])
    num = len(late_s)
    if not num:
        return None
    median_s = _median(ttft(data)[_usable(data)])
    limit_s = max(limits.send_delay, limits.send_delay_share * median_s)
    late, most = int(np.count_nonzero(late_s > limit_s)), most_by_chance(num, 0.01)
    fact = (
        f"{late:,} of {num:,} requests left more than {_ms(limit_s)} late (at most {most:,} may; "
        f"p99 {_ms(_p99(late_s))})"
    )
    so = "the client was too slow for this load"
    return _at_most("send_delay", late / num, most / num, "share", fact, hard=True, so=so)


def _concurrency(data: RunData, limits: Validity) -> list[Check]:
    """Closed loop: how much of the slots' time no request was in flight. Two limits, as an open
    loop's: a client that refills a slot within `send_delay` keeps time, yet if answers take no
    longer than that, rates are the client's too."""
    idle_s = issue_delay(data)
    chosen = data.in_window & ~np.isnan(idle_s)
    busy_s = float((data.finished_s - data.sent_s)[chosen].sum())
    if not busy_s > 0:
        return []
    free_s, limit = float(idle_s[chosen].sum()), limits.idle_slots
    share = free_s / (free_s + busy_s)
    allowed_s = limits.send_delay * int(np.count_nonzero(chosen))
    most = max(limit, allowed_s / (allowed_s + busy_s))
    words = f"slots were free {_percent(share)} of the time, {_ms(free_s / chosen.sum())} each time"
    late = "the client did not keep up the concurrency that was asked"
    fast = "answers are so short that rates and concurrency are this client's too"
    return [
        _at_most(
            "concurrency", share, most, "share", f"{words} (limit {_percent(most)})",
            hard=True, so=late,
        ),
        _at_most(
            "idle_slots", share, limit, "share", f"{words} (limit {_percent(limit)})",
            hard=False, so=fast,
        ),
    ]  # fmt: skip


def _client_lag(data: RunData, limits: Validity) -> list[Check]:
    """Two limits where the kernel's stamps count: they are right however late the program reads,
    so a moderate lag only says that the machine is busy; a long one holds up the server."""

    def in_window_s(data: RunData) -> FloatArray:
        return client_lag(data)[data.per_chunk(data.in_window)]

    lag_s = data.gathered(in_window_s)
    if not len(lag_s):
        return []
    gap_s = float(np.nan_to_num(data.once(median_itl)))
    p99_s, limit_s = _p99(lag_s), max(limits.client_lag, limits.client_lag_share * gap_s)
    words = f"bytes waited up to {_ms(p99_s)} until the client read them (p99; limit "
    so = "the client was too slow for this load"
    fact = f"{words}{_ms(limit_s)})"
    by_user = (np.array(data.stamp_source) == "user")[_usable(data)]
    if by_user.any():
        return [_at_most("client_lag", p99_s, limit_s, "s", fact, hard=True, so=so)]
    most_s = max(limits.kernel_lag, limit_s)
    busy = "this machine is busy; the kernel's time stamps count, which suffer only in shared reads"
    return [
        _at_most("client_lag", p99_s, most_s, "s", f"{words}{_ms(most_s)})", hard=True, so=so),
        _at_most("client_busy", p99_s, limit_s, "s", fact, hard=False, so=busy),
    ]


def _stamps(data: RunData) -> Check | None:
    usable = _usable(data)
    if not usable.any():
        return None
    share = float((np.array(data.stamp_source) == "user")[usable].mean())
    fact = f"{_percent(share)} of the answers have no time stamps of the kernel"
    so = "how late this client read them is not known"
    return _at_most("stamps", share, 0.0, "share", fact, hard=False, so=so)


def _output_lengths(data: RunData, limits: Validity) -> list[Check]:
    """Soft where only our tokenizer counted: in the server's tokens it may be as long as asked."""
    bound = _usable(data) & data.must_reach_asked & (np.array(data.finish_reason) != EMBEDDED)
    by_server = np.isin(np.array(data.tokens_from, dtype=str), ("usage", "running_usage"))
    cases = (
        ("output_tokens", bound & by_server, True, ""),
        ("output_tokens_counted", bound & ~by_server, False, ", by this client's tokenizer"),
    )
    found = []
    for name, chosen, is_hard, how in cases:
        if not chosen.any():
            continue
        num, limit = int(np.count_nonzero(chosen)), limits.short_outputs
        off = int(np.count_nonzero((data.output_tokens != data.output_tokens_asked) & chosen))
        fact = (
            f"{off:,} of {num:,} answers are not of the length that was demanded{how} "
            f"(limit {_percent(limit)})"
        )
        so = "the server did less or more work than asked"
        found.append(_at_most(name, off / num, limit, "share", fact, hard=is_hard, so=so))
    return found


def _prompt_lengths(data: RunData, limits: Validity) -> Check | None:
    chosen = _usable(data) & (data.prompt_tokens_asked > 0)
    if not chosen.any():
        return None
    asked, limit = data.prompt_tokens_asked[chosen], limits.prompt_error
    beyond = np.abs(data.prompt_tokens[chosen] - asked) - limits.template_tokens
    error = float(np.median(np.maximum(beyond, 0) / asked))
    fact = (
        f"prompts are {_percent(error)} off the tokens asked (median, a chat template's "
        f"{limits.template_tokens} aside; limit {_percent(limit)})"
    )
    so = "the server's tokenizer makes another length of them"
    return _at_most("prompt_tokens", error, limit, "share", fact, hard=False, so=so)


def _token_counts(data: RunData) -> list[Check]:
    usable, source = _usable(data), np.array(data.tokens_from)
    if not usable.any():
        return []
    guessed = float((source == "chunks")[usable].mean())
    ours = float((source == "tokenizer")[usable].mean())
    guess = f"{_percent(guessed)} of the answers were counted in chunks, not in tokens"
    count = f"{_percent(ours)} of the answers were counted by this client, not by the server"
    so_guess = "a chunk may hold any number of tokens"
    so_count = "it sent no usage, and its tokenizer may be another"
    return [
        _at_most("tokens_known", guessed, 0.0, "share", guess, hard=True, so=so_guess),
        _at_most("tokens_from_server", ours, 0.0, "share", count, hard=False, so=so_count),
    ]


def _tokens_per_chunk(data: RunData, limits: Validity) -> Check | None:
    usable = _usable(data)
    num_chunks = int(data.num_chunks[usable].sum())
    if not num_chunks:
        return None
    mean, limit = float(data.num_stamped[usable].sum() / num_chunks), limits.tokens_per_chunk
    fact = f"a chunk holds {mean:.3g} tokens on average (limit {limit:g})"
    so = "itl shares a chunk's gap among its tokens; icl is what was seen"
    return _at_most("tokens_per_chunk", mean, limit, "tokens", fact, hard=False, so=so)


def _window_length(data: RunData, limits: Validity) -> Check | None:
    """Rates over a window of few answers depend on where it happens to cut."""
    answer_s = _median((data.finished_s - data.sent_s)[_usable(data)])
    if answer_s <= 0:
        return None
    length, least = (data.window_s[1] - data.window_s[0]) / answer_s, limits.min_window
    fact = f"the window is as long as {length:.3g} median answers (at least {least:g} wanted)"
    so = "rates depend on where it cuts; run longer"
    return _at_least("window_length", length, least, "answers", fact, hard=False, so=so)


def _usable(data: RunData) -> BoolArray:
    return data.in_window & data.ok


def _was_sent(data: RunData) -> BoolArray:
    return ~np.isnan(data.sent_s)


def _known(values: FloatArray) -> FloatArray:
    known: FloatArray = values[~np.isnan(values)]
    return known


def _median(values: FloatArray) -> float:
    """0 where there is none, so that a limit's fixed part holds."""
    known = _known(values)
    return float(np.median(known)) if len(known) else 0.0


def _p99(values: FloatArray) -> float:
    """Of the sample as it is, which it may reorder; a check needs no interval."""
    return float(np.quantile(values, 0.99, overwrite_input=True))


def _ms(value_s: float) -> str:
    return f"{value_s * 1e3:.3g} ms"


def _percent(share: float) -> str:
    return f"{share * 100:.3g} %"
