"""Instrument: the benchmark's own error in one run, bounded for each latency, and what follows.

Bounds are 99 % ones. Stamps are late, never early, so the difference of two is off by no more than
one of them. Derivation, term by term: docs/selftest.md.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Final, Self

import numpy as np
from msgspec import Struct
from msgspec.structs import astuple

from benchsuite.metrics.generator import client_lag, send_delay
from benchsuite.metrics.latency import median_itl, tokens_after_first, tpot, ttft
from benchsuite.metrics.validity import Check, Validity
from benchsuite.records.client import Client
from benchsuite.records.table import BoolArray, FloatArray, IntArray, RunData
from benchsuite.results.curve import MARGIN, Curve, Load
from benchsuite.results.spread import Spread

UNTESTED_S: Final = 1e-4  # of a kernel's stamp, p99, where no selftest tells; 36 to 63 us were seen
RARE: Final = 0.01  # what concerns fewer tokens than this does not move a 99 % bound
MIN_APART: Final = 30  # answers whose end came apart, to say how long it takes
LEAST_S: Final = 1e-6  # of waits that are told apart
NUM_WAITS: Final = 500  # from there to the longest, 2 % apart
BUSY: Final = 0.9  # quantile of the loads of single seconds that counts as the run's load


class Shown(Struct, frozen=True, kw_only=True):
    """What the last selftest of this machine says."""

    made_at: str
    trusted: Load  # of one sending process


class Instrument(Struct, frozen=True, kw_only=True):
    """The benchmark's own error."""

    stamp_source: dict[str, float]  # share of requests stamped by: kernel, user, virtual
    send_delay: Spread  # sent - due; n is 0 in a closed loop, where nothing is due
    client_lag: Spread  # seen by the program - arrived in the kernel; n is 0 without kernel stamps
    timer_resolution_s: float | None = None
    stamp_error_s: float | None = None  # of a token that came alone, 99 %; None: not known
    error_s: dict[str, float] = {}  # by metric: 99 % of its values are no further off
    shared: float = 0.0  # share of chunks that came in one read with an earlier one
    clients: tuple[Client, ...] = ()  # what sending cost each process; empty on virtual time
    others_cpu: float | None = None  # cores that others kept busy on this machine
    load: Load | None = None  # of one sending process, in its busier seconds
    selftest: Shown | None = None  # None: none of this machine by this version

    @classmethod
    def of(
        cls,
        data: RunData,
        timer_resolution_s: float | None,
        clients: tuple[Client, ...] = (),
        curve: Curve | None = None,
    ) -> Self:
        """Over the whole run, warm-up and drain included."""
        carried = load(data, len(clients)) if clients else None
        stamp_s = None if carried is None else stamp_error_s(data, clients, curve, carried)
        sent_s = None if carried is None or curve is None else curve.sent_error_s(carried)
        return cls(
            stamp_source={
                source: num / len(data)
                for source, num in sorted(Counter(data.stamp_source).items())
            },
            send_delay=Spread.of(send_delay(data)),
            client_lag=data.once(lag_spread),
            timer_resolution_s=timer_resolution_s,
            stamp_error_s=stamp_s,
            error_s={} if stamp_s is None else errors(data, stamp_s, sent_s or 0.0),
            shared=shared(data),
            clients=clients,
            others_cpu=others_cpu(clients),
            load=carried,
            selftest=None if curve is None else Shown(made_at=curve.made_at, trusted=curve.trusted),
        )


def load(data: RunData, num_workers: int) -> Load:
    """Streams: the most at once. Rates: of single seconds, the BUSY quantile of those of the run.
    A worker carries its part, which the schedule makes equal."""
    sent_s = data.sent_s[~np.isnan(data.sent_s)]
    ended_s = data.finished_s[~np.isnan(data.sent_s)]
    moments_s = np.concatenate((sent_s, ended_s))
    steps = np.concatenate((np.ones(len(sent_s)), -np.ones(len(ended_s))))
    order = np.lexsort((steps, moments_s))  # an answer's end before the next one's begin
    most = float(np.cumsum(steps[order]).max(initial=0.0))
    return Load(
        most / num_workers,
        _busy_rate(lambda: (piece.arrivals.at_s for piece in data.pieces())) / num_workers,
        _busy_rate(lambda: (sent_s,)) / num_workers,
    )


def _busy_rate(at_s: Callable[[], Iterable[FloatArray]]) -> float:
    """Per second, of moments in several parts."""
    ends_s = [(float(part.min()), float(part.max()), len(part)) for part in at_s() if len(part)]
    if not ends_s:
        return 0.0
    first_s, last_s = min(low for low, _, _ in ends_s), max(high for _, high, _ in ends_s)
    if last_s - first_s < 1.0:
        return float(sum(num for _, _, num in ends_s))
    counts = np.zeros(int(last_s - first_s) + 1, dtype=np.int64)
    for part in at_s():
        counts += np.bincount((part - first_s).astype(np.int64), minlength=len(counts))
    return float(np.quantile(counts, BUSY))


def lag_spread(data: RunData) -> Spread:
    """Seen by the program - arrived in the kernel, over all chunks."""
    return Spread.of_known(data.gathered(client_lag))


def shared(data: RunData) -> float:
    """Share of chunks that came in one read with an earlier one: stamped with a later one's time.
    A server that writes several at once makes such reads too, and they are stamped right."""
    num = len(data.chunk_s)
    return 1 - sum(len(piece.arrivals.at_s) for piece in data.pieces()) / num if num else 0.0


def _all_alone(data: RunData) -> bool:
    """No chunk came in one read with another one."""
    return all(piece.is_new_read.all() for piece in data.pieces())


def others_cpu(clients: tuple[Client, ...]) -> float | None:
    """Cores that other processes kept busy while we sent; a server on this machine is one."""
    told = [client for client in clients if client.machine_s is not None and client.wall_s > 0]
    if not told:
        return None
    busy = max((client.machine_s or 0.0) / client.wall_s for client in told)
    return max(0.0, busy - sum(client.cpu_s / client.wall_s for client in told))


def stamp_error_s(
    data: RunData, clients: tuple[Client, ...], curve: Curve | None, carried: Load
) -> float | None:
    """By how much the stamp of a read may be late; None if nothing is known about it."""
    has_chunks = np.diff(data.chunk_start) > 0
    sources = Counter(np.array(data.stamp_source)[has_chunks].tolist())
    often = [source for source, num in sources.items() if num > RARE * sources.total()]
    found: list[float | None] = []
    if "virtual" in often:
        found.append(0.0)
    if "kernel" in often:
        found.append(_kernel_error_s(clients, curve, carried))
    if "user" in often:
        found.append(_user_error_s(clients, curve, carried))
    known = [bound for bound in found if bound is not None]
    return max(known, default=None) if len(known) == len(found) else None


def _kernel_error_s(
    clients: tuple[Client, ...], curve: Curve | None, carried: Load
) -> float | None:
    """What the selftest found at this load; without one, what such stamps are assumed to be off by,
    or how badly the clocks are paired if that is more."""
    tested_s = None if curve is None else curve.stamp_error_s(carried, "kernel")
    if tested_s is not None or not clients:
        return tested_s
    return max(UNTESTED_S, *(client.clock_error_s for client in clients))


def waited_s(data: RunData, longest_s: float, tail_s: float) -> FloatArray:
    """How much earlier than its stamp a chunk may have come, [chunks]; 0 where it came alone.

    A read has one stamp, that of its last bytes. The chunks before came after the program had
    looked the last time, and did not wait longer than `longest_s`: than bytes do (p99 of the
    client's lag). A last token whose read had a tail waited no longer than `tail_s`.
    """
    is_new, at_s = data.is_new_read, data.chunk_s
    tails = data.chunk_start[1:][data.has_tail] - 1
    if is_new.all() and not (len(tails) and tail_s):
        return np.zeros(len(at_s))
    is_last = np.append(is_new[1:], True)
    starts = np.flatnonzero(is_new)
    seen_s = at_s[starts] + np.nan_to_num(data.chunk_lag_s[starts])
    looked_s = data.per_chunk(data.sent_s)[starts]
    same = ~data.is_first_chunk[starts][1:]
    looked_s[1:][same] = seen_s[:-1][same]
    gap_s = at_s - looked_s[np.cumsum(is_new) - 1]
    found = np.where(is_last, 0.0, np.clip(gap_s, 0.0, longest_s))
    found[tails] = np.clip(gap_s[tails], 0.0, tail_s)
    return found


def tail_s(data: RunData) -> float:
    """How long 99 % of the last tokens with a tail waited for it at most.

    They are joined only if the rest came before the program woke. That both took longer than x has
    the chance that the rest does (seen where it came apart, which it does the sooner the longer it
    takes) times that bytes wait for longer; of those with a tail it is so much more than of all.
    """
    longest_s = data.once(lag_spread).p99 or 0.0
    apart = data.ok & ~data.has_tail & (data.num_chunks > 0)
    if np.count_nonzero(apart) < MIN_APART or longest_s <= LEAST_S:
        return longest_s
    rest_s = np.sort((data.finished_s - data.last_token_s)[apart])
    at_s = np.geomspace(LEAST_S, longest_s, NUM_WAITS)
    longer, num = np.zeros(NUM_WAITS), 0
    for piece in data.pieces():
        lag_s = np.sort(client_lag(piece)[~np.isnan(piece.chunk_lag_s)])
        longer += len(lag_s) - np.searchsorted(lag_s, at_s)
        num += len(lag_s)
    chance = longer / num * (1 - np.searchsorted(rest_s, at_s) / len(rest_s))
    enough = np.flatnonzero(chance <= RARE * float(data.has_tail[data.ok].mean()))
    return float(at_s[enough[0]]) if len(enough) else longest_s


def _user_error_s(clients: tuple[Client, ...], curve: Curve | None, carried: Load) -> float | None:
    """What the selftest found, if it was stamped so too; else how long the loop was held up: bytes
    wait for that, and if it was not often, 99 % of them wait for less than a stall."""
    tested_s = None if curve is None else curve.stamp_error_s(carried, "user")
    stalls = [(client, client.stalls) for client in clients if client.stalls is not None]
    if tested_s is not None or not stalls:
        return tested_s
    return max(
        client.stall_s if found.total_s <= RARE * client.wall_s else found.longest_s
        for client, found in stalls
    )


def errors(data: RunData, stamp_s: float, sent_s: float) -> dict[str, float]:
    """The bound of each latency, seconds. `stamp_s`, `sent_s`: of the stamps of a read and of a
    sending. An arrival's: the p99 over all chunks, with how long those of shared reads waited."""
    arrival_s = arrival_error_s(data, stamp_s)
    sent_late_s = Spread.of(data.sent_s - data.due_s - data.connect_s).p99  # None: none was due
    from_due_s = arrival_s + (sent_s if sent_late_s is None else max(sent_late_s, 0.0))
    return {
        "ttft": from_due_s,
        "ttft_sent": arrival_s + sent_s,
        "ttfo": from_due_s,
        "tpot": _tpot_error_s(data, stamp_s),
        "itl": arrival_s,
        "icl": arrival_s,
        "e2e_latency": from_due_s,
        "e2e_latency_sent": arrival_s + sent_s,
        "normalised_latency": _normalised_error_s(data, from_due_s),
    }


def arrival_error_s(data: RunData, stamp_s: float, *, with_tails: bool = True) -> float:
    """Of 99 % of the chunks: their read's stamp, and how long those of shared reads waited."""
    has_tails = with_tails and bool(data.has_tail.any())
    if data.once(_all_alone) and not has_tails:
        return stamp_s
    longest_s = data.once(lag_spread).p99 or 0.0
    most_s = data.once(tail_s) if has_tails else 0.0

    def late_s(piece: RunData) -> FloatArray:
        return np.maximum(stamp_s, waited_s(piece, longest_s, most_s))

    return float(np.quantile(data.gathered(late_s), 1 - RARE, overwrite_input=True))


def _tpot_error_s(data: RunData, stamp_s: float) -> float:
    """Two stamps, each with its own chance to be late, over the tokens between them: an answer of
    few tokens is off by more than one of many. Both may have waited in a shared read."""
    chosen = np.flatnonzero(data.ok & ~np.isnan(tpot(data)))
    if not len(chosen):
        return stamp_s
    tokens = tokens_after_first(data)[chosen]
    if data.once(_all_alone) and not data.has_tail.any():
        return over_tokens(((stamp_s, 0.0), (stamp_s, 0.0)), tokens)
    longest_s = data.once(lag_spread).p99 or 0.0
    most_s = data.once(tail_s)
    ends_s = [_ends_waited_s(piece, longest_s, most_s) for piece in data.pieces()]
    first_s, last_s = (np.concatenate(column)[chosen] for column in zip(*ends_s, strict=True))
    return over_tokens(((stamp_s, first_s), (stamp_s, last_s)), tokens)


def _ends_waited_s(data: RunData, longest_s: float, most_s: float) -> tuple[FloatArray, FloatArray]:
    """How long the first and the last chunk of each request waited, [n] each; 0 where none came."""
    first_s, last_s, has_any = np.zeros(len(data)), np.zeros(len(data)), data.num_chunks > 0
    all_s = waited_s(data, longest_s, most_s)
    first_s[has_any] = all_s[data.chunk_start[:-1][has_any]]
    last_s[has_any] = all_s[data.chunk_start[1:][has_any] - 1]
    return first_s, last_s


def _normalised_error_s(data: RunData, from_due_s: float) -> float:
    tokens = data.output_tokens[data.ok & (data.output_tokens > 0)]
    return over_tokens(((from_due_s, 0.0),), tokens) if len(tokens) else from_due_s


def over_tokens(parts: Sequence[tuple[float, FloatArray | float]], tokens: IntArray) -> float:
    """What 99 % of (one of several times) / tokens are no further off, [requests].

    A part is how late 99 % of its times are at most, and how much later each may be for a reason
    that is known. Beyond its 99 % the chance to be x late is taken to fall no slower than 1 / x.
    Short and long answers are mixed: v is the least of which the chances to be off by more than v,
    v * tokens late, are 1 % on average. Of one part and equal answers it is that part / tokens; of
    two parts twice that.
    """
    low_s = 0.0
    most = [np.max((len(parts) * late_s + more_s) / tokens) for late_s, more_s in parts]
    high_s = float(max(most))
    for _ in range(40):  # to 1e-12 of it
        at_s = (low_s + high_s) / 2
        chances = np.zeros(len(tokens))
        for late_s, more_s in parts:
            chances += _chance(late_s, at_s * tokens.astype(np.float64) - more_s)
        is_enough = float(np.minimum(chances, 1.0).mean()) <= RARE
        low_s, high_s = (low_s, at_s) if is_enough else (at_s, high_s)
    return high_s


def _chance(late_s: float, by_s: FloatArray) -> FloatArray:
    """To be later than that."""
    falling: FloatArray = RARE * late_s / np.where(by_s > 0, by_s, np.inf)
    falling[by_s < late_s] = 1.0
    return falling


def checks(data: RunData, found: Instrument, limits: Validity) -> tuple[Check, ...]:
    """What the instrument's error means for the verdict."""
    candidates = (*_token_times(data, found, limits), _selftest(found))
    return tuple(check for check in candidates if check is not None)


def _token_times(data: RunData, found: Instrument, limits: Validity) -> list[Check]:
    """The limit is that of the client's lag: it is the same error, of the stamp that counts. Shared
    reads warn first (servers that write several chunks at once make them too, and without harm);
    they are fatal from where a late sending is."""
    if found.stamp_error_s is None:
        return []
    gap_s = float(np.nan_to_num(data.once(median_itl)))
    limit_s = max(limits.client_lag, limits.client_lag_share * gap_s)
    stamp_s = found.stamp_error_s
    token_s = arrival_error_s(data, stamp_s, with_tails=False)  # a tail is no sign of slowness
    late = f"stamps of reads may be {_ms(stamp_s)} late (99 %; limit {_ms(limit_s)})"
    shared = f"chunks of shared reads may have come {_ms(token_s)} before their stamp (99 %; limit "
    first_s = Spread.of(ttft(data)[_usable(data)]).p50 or 0.0
    most_s = max(limit_s, limits.send_delay, limits.send_delay_share * first_s)
    so = "the client was too slow for this load"
    is_hard = token_s > most_s
    limit_shared_s = most_s if is_hard else limit_s
    fact = f"{shared}{_ms(limit_shared_s)})"
    return [
        _at_most("stamp_error", stamp_s, limit_s, late, so, is_hard=True),
        _at_most("shared_reads", token_s, limit_shared_s, fact, so, is_hard=is_hard),
    ]


def _at_most(
    name: str, value_s: float, limit_s: float, fact: str, so: str, *, is_hard: bool = False
) -> Check:
    """`so` follows if the limit was passed."""
    is_ok = value_s <= limit_s
    sentence = fact if is_ok else f"{fact}: {so}"
    return Check(
        name=name, ok=is_ok, hard=is_hard, value=value_s, limit=limit_s, unit="s", sentence=sentence
    )


def _ms(value_s: float) -> str:
    return f"{value_s * 1e3:.3g} ms"


def _selftest(found: Instrument) -> Check | None:
    """Beyond what was shown is not wrong, only unknown."""
    if found.selftest is None or found.load is None:
        return None
    asked, shown = found.load, found.selftest.trusted
    pairs = zip(astuple(asked), astuple(shown), strict=True)
    return Check(
        name="selftest",
        ok=not asked.is_beyond(shown),
        hard=False,
        value=max(_ratio(one, most) for one, most in pairs),
        limit=MARGIN,
        unit="of the load shown",
        sentence=_compared(asked, shown),
    )


def _ratio(asked: float, shown: float) -> float:
    return asked / shown if shown else float("inf") if asked else 0.0


def _compared(asked: Load, shown: Load) -> str:
    loads = [
        f"{load.streams:,.0f} streams, {load.tokens_per_s:,.0f} tokens/s and "
        f"{load.requests_per_s:,.0f} requests/s"
        for load in (asked, shown)
    ]
    return (
        f"a sending process carried {loads[0]}; this machine's selftest shows {loads[1]} to be "
        "measured well"
    )


def _usable(data: RunData) -> BoolArray:
    return data.in_window & data.ok
