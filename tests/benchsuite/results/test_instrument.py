"""The instrument's own error: what bounds it, and when a run may not be believed for it."""

from typing import Any

import numpy as np
import pytest

from benchsuite.metrics.validity import Validity
from benchsuite.records.client import Client, Pauses
from benchsuite.records.record import Record
from benchsuite.records.table import RunData
from benchsuite.results.curve import Load
from benchsuite.results.instrument import (
    UNTESTED_S,
    Instrument,
    checks,
    errors,
    lag_spread,
    load,
    others_cpu,
    over_tokens,
    stamp_error_s,
    tail_s,
    waited_s,
)
from tests.benchsuite.selftest.curves import curve, token_point
from tests.runs import failed, never_sent, record, run

LIGHT = Load(1, 1, 1)


def client(**changes: Any) -> Client:
    usual: dict[str, Any] = {
        "worker": 0,
        "wall_s": 10.0,
        "cpu_s": 1.0,
        "stalls": Pauses(),
        "stall_s": 0.005,
        "gc": Pauses(),
        "clock_error_s": 2e-7,
    }
    return Client(**(usual | changes))


def kernel(request_id: int = 0, **changes: Any) -> Record:
    """Stamped by the kernel, read 0.1 ms later; chunks at 0.2, 0.3, 0.4, 0.5 s."""
    usual: dict[str, Any] = {"stamp_source": "kernel", "chunk_lag_s": (1e-4,) * 4}
    return record(request_id, **(usual | changes))


def measured(data: RunData, *clients: Client, **more: Any) -> Instrument:
    return Instrument.of(data, 1e-9, clients or (client(),), **more)


# Load


def test_streams_are_counted_at_their_most_and_shared_by_the_workers() -> None:
    data = run(*(kernel(i, due_s=0.1 * i) for i in range(4)), never_sent(9))
    assert load(data, 1).streams == 4
    assert load(data, 2) == Load(2, 8.0, 2.0)


def test_an_answer_that_ends_as_the_next_begins_leaves_its_slot_to_it() -> None:
    data = run(kernel(0, finished_s=1.0), kernel(1))
    assert load(data, 1).streams == 1


def test_rates_are_those_of_the_busier_seconds() -> None:
    """One quiet half of a run does not halve its load."""
    busy = [kernel(i, due_s=i / 10) for i in range(100)]
    quiet = [kernel(100 + i, due_s=10.0 + i) for i in range(10)]
    assert load(run(*busy, *quiet), 1).requests_per_s == 10


def test_hardly_any_load_is_a_load_too() -> None:
    assert load(run(), 1) == Load(0, 0, 0)
    assert load(run(failed(0, finished_s=0.1)), 1) == Load(1, 0, 1)


# Stamps


def test_without_a_selftest_more_is_assumed_than_how_well_the_clocks_are_paired() -> None:
    """What nobody measured on this machine is not claimed to be right to the microsecond."""
    clients = (client(), client(worker=1, clock_error_s=9e-7))
    assert stamp_error_s(run(kernel()), clients, None, LIGHT) == UNTESTED_S
    badly = (client(clock_error_s=3e-3),)
    assert stamp_error_s(run(kernel()), badly, None, LIGHT) == 3e-3


def test_a_selftest_knows_more_than_the_clocks() -> None:
    assert stamp_error_s(run(kernel()), (client(),), curve(), LIGHT) == 5e-5


def test_on_virtual_time_stamps_are_exact() -> None:
    data = run(record(0, stamp_source="virtual"))
    assert stamp_error_s(data, (client(),), None, LIGHT) == 0.0


@pytest.mark.parametrize(
    ("stalls", "error_s"),
    [
        (Pauses(), 0.005),
        (Pauses(num=2, longest_s=0.06, total_s=0.1), 0.005),  # 1 % of 10 s
        (Pauses(num=2, longest_s=0.06, total_s=0.11), 0.06),
        (None, None),
    ],
)
def test_the_program_s_stamps_are_late_by_what_held_up_its_loop(
    stalls: Pauses | None, error_s: float | None
) -> None:
    """99 % of bytes wait less than a stall unless the loop stalled for more of the time."""
    data = run(record(0))
    assert stamp_error_s(data, (client(stalls=stalls),), curve(), LIGHT) == error_s


def test_a_selftest_of_the_program_s_stamps_counts_where_they_do() -> None:
    own = curve(tokens=(token_point(16, 7e-4, stamp_source="user"),))
    assert stamp_error_s(run(record(0)), (client(),), own, LIGHT) == 7e-4


def test_a_rare_stamp_of_the_program_does_not_count() -> None:
    """Neither do requests that failed before anything came, which have no stamp at all."""
    records = [kernel(i) for i in range(200)]
    data = run(*records, record(200), *(failed(300 + i) for i in range(50)))
    assert stamp_error_s(data, (client(),), None, LIGHT) == UNTESTED_S
    often = run(*records, *(record(200 + i) for i in range(3)))
    assert stamp_error_s(often, (client(),), None, LIGHT) == 0.005


# Shared reads


def test_a_chunk_that_came_alone_did_not_wait() -> None:
    assert waited_s(run(kernel(0), kernel(1)), 0.1, 0.1).tolist() == [0.0] * 8


def test_chunks_of_a_shared_read_waited_no_longer_than_since_the_last_look() -> None:
    """All but the last of it: that one has its own stamp."""
    shared = kernel(
        chunks=((0.2, 1), (0.25, 1), (0.25, 1), (0.25, 1)),
        chunk_read=(0, 1, 1, 1),
        chunk_lag_s=(0.01, 0.2, 0.2, 0.2),
    )
    longest_s = lag_spread(run(shared)).p99 or 0.0
    assert waited_s(run(shared), longest_s, 0.0) == pytest.approx([0.0, 0.04, 0.04, 0.0])


def test_chunks_of_a_shared_read_waited_no_longer_than_bytes_do() -> None:
    """The first read of an answer counts from when the request left."""
    shared = kernel(chunks=((0.2, 1), (0.2, 1)), chunk_read=(0, 0), chunk_lag_s=(1e-3, 1e-3))
    longest_s = lag_spread(run(shared)).p99 or 0.0
    assert waited_s(run(shared), longest_s, 0.0) == pytest.approx([1e-3, 0.0])


# Bounds of the metrics


def test_every_latency_has_a_bound() -> None:
    """Late sending is in what counts from due, and not in what counts from sent."""
    late = [kernel(i, sent_s=i + 0.003, connect_s=0.001) for i in range(3)]
    error_s = measured(run(*late), curve=curve()).error_s
    assert error_s["itl"] == error_s["icl"] == 5e-5
    assert error_s["ttft"] == error_s["ttfo"] == error_s["e2e_latency"]
    assert error_s["ttft"] == pytest.approx(5e-5 + 0.002)
    assert error_s["ttft_sent"] == error_s["e2e_latency_sent"] == pytest.approx(5e-5 + 3e-5)
    assert error_s["tpot"] == pytest.approx(2 * 5e-5 / 3)
    assert error_s["normalised_latency"] == pytest.approx(error_s["e2e_latency"] / 4)


@pytest.mark.parametrize("heavy", [False, True])
@pytest.mark.parametrize("short", [0.0, 0.02, 0.3])
def test_99_percent_of_tpot_are_within_its_bound(heavy: bool, short: float) -> None:
    """Stamps late by chance, a share of the answers short: the median answer tells nothing."""
    rng, n, stamp_s = np.random.default_rng(3), 40_000, 5e-5
    late_s = rng.exponential(stamp_s / np.log(100), (2, n))
    if heavy:  # the chance to be x late falls as 1 / x beyond the 99 %
        late_s = stamp_s * 0.01 / rng.uniform(1e-6, 1.0, (2, n))
    tokens = np.where(rng.random(n) < short, 3, 100)
    off_s = np.quantile(np.abs(late_s[0] - late_s[1]) / tokens, 0.99)
    bound_s = over_tokens(((stamp_s, 0.0), (stamp_s, 0.0)), tokens)
    assert off_s <= bound_s <= 2.01 * stamp_s / (3 if short else 100)
    if short:
        assert off_s > stamp_s / 100  # what the median answer would say


def test_a_few_short_answers_widen_the_bound_of_tpot() -> None:
    """As measured against a server's log: 12 us off where the median answer promised 0.5 us."""
    many = tuple((0.2 + 0.001 * i, 1) for i in range(101))
    usual = {"chunks": many, "chunk_lag_s": (1e-4,) * 101}
    short = {"chunks": many[:3], "chunk_lag_s": (1e-4,) * 3}
    data = run(*(kernel(i, **(short if i % 4 == 0 else usual)) for i in range(20)))
    found = measured(data, curve=curve()).error_s
    assert 5e-5 / 2 <= found["tpot"] <= 2 * 5e-5 / 2
    assert found["normalised_latency"] > 5 * found["e2e_latency"] / 101


def test_a_first_chunk_that_waited_in_a_shared_read_moves_tpot() -> None:
    chunks = ((0.2, 1), (0.2, 1), (0.3, 1), (0.4, 1))
    data = run(kernel(chunks=chunks, chunk_read=(0, 0, 1, 2), chunk_lag_s=(2e-3,) * 4))
    found = measured(data, curve=curve()).error_s
    assert found["tpot"] == pytest.approx((2e-3 + 5e-5) / 2, rel=0.02)


def test_in_a_closed_loop_latency_counts_from_sent() -> None:
    data = run(*(kernel(i, due_s=None, sent_s=float(i)) for i in range(3)))
    error_s = measured(data, curve=curve()).error_s
    assert error_s["ttft"] == error_s["ttft_sent"] == pytest.approx(5e-5 + 3e-5)


def test_a_run_without_its_clients_account_has_no_bounds() -> None:
    """An older run, or one whose workers were all killed."""
    found = Instrument.of(run(kernel()), 1e-9, (), curve())
    assert (found.error_s, found.load, found.stamp_error_s) == ({}, None, None)
    assert checks(run(kernel()), found, Validity()) == ()


@pytest.mark.parametrize(
    "data", [run(), run(failed(0)), run(never_sent(0)), run(kernel(chunks=(), chunk_lag_s=()))]
)
def test_hardly_any_data_has_bounds_or_none(data: RunData) -> None:
    found = measured(data)
    assert all(np.isfinite(value_s) for value_s in found.error_s.values())
    checks(data, found, Validity())


# What follows


def _failed_checks(found: Instrument, data: RunData, **limits: float) -> list[tuple[str, bool]]:
    every = checks(data, found, Validity(**limits))
    return [(check.name, check.hard) for check in every if not check.ok]


def test_a_stamp_error_beyond_the_limit_makes_the_run_invalid() -> None:
    """The limit is the client lag's: 1 ms, or a share of the median gap, whichever is more."""
    data = run(record(0))
    found = measured(data, client(stalls=Pauses(num=1, longest_s=0.06, total_s=0.2)))
    assert ("stamp_error", True) in _failed_checks(found, data)
    assert _failed_checks(found, data, client_lag=0.1) == []
    assert _failed_checks(found, data, client_lag_share=0.7) == []


def test_shared_reads_warn_at_first() -> None:
    data = run(
        kernel(chunks=((0.2, 1), (0.4, 1), (0.4, 1)), chunk_read=(0, 1, 1), chunk_lag_s=(0.01,) * 3)
    )
    found = measured(data)
    assert _failed_checks(found, data) == [("shared_reads", False)]
    assert found.shared == pytest.approx(1 / 3)


def test_shared_reads_are_fatal_from_where_a_late_sending_is() -> None:
    """Chunks that may have come 40 ms before their stamp tell nothing of a TTFT of 200 ms."""
    chunks = ((0.2, 1), (0.4, 1), (0.4, 1))
    data = run(kernel(chunks=chunks, chunk_read=(0, 1, 1), chunk_lag_s=(0.04,) * 3))
    assert ("shared_reads", True) in _failed_checks(measured(data), data)


def test_a_load_beyond_what_was_shown_is_a_warning() -> None:
    data = run(*(kernel(i, due_s=i / 1000) for i in range(300)))
    best = curve(tokens=curve().tokens[:2])
    (check,) = (one for one in checks(data, measured(data, curve=best), Validity()) if not one.ok)
    assert (check.name, check.hard) == ("selftest", False)
    assert check.value == pytest.approx(300 / 64)
    assert "300 streams" in check.sentence
    assert "64 streams, 3,200 tokens/s and 100 requests/s" in check.sentence
    assert _failed_checks(measured(run(kernel()), curve=curve()), run(kernel())) == []


def test_without_a_selftest_there_is_nothing_to_warn_of() -> None:
    data = run(kernel())
    assert "selftest" not in {check.name for check in checks(data, measured(data), Validity())}


# The machine


def test_what_others_use_is_what_the_workers_do_not() -> None:
    first = client(cpu_s=5.0, machine_s=19.0)
    second = client(worker=1, cpu_s=2.0, machine_s=18.0)
    assert others_cpu((first, second)) == pytest.approx(1.2)
    assert others_cpu((client(cpu_s=5.0, machine_s=4.9),)) == 0.0
    assert others_cpu((client(),)) is None
    assert others_cpu(()) is None


def test_a_last_token_waited_where_its_read_brought_more() -> None:
    """It has the time of what came last. Bounds over tokens count that, request by request."""
    changes = {"chunks": ((0.2, 1), (0.25, 1)), "chunk_lag_s": (0.01, 0.2)}
    alone, tailed = run(kernel(**changes)), run(kernel(**changes, has_tail=True))
    assert waited_s(alone, 0.1, 0.1).tolist() == [0.0, 0.0]
    assert waited_s(tailed, 0.1, 0.1) == pytest.approx([0.0, 0.04])
    assert waited_s(tailed, 0.1, 0.03) == pytest.approx([0.0, 0.03])
    assert waited_s(tailed, 0.1, 0.0).tolist() == [0.0, 0.0]
    assert errors(tailed, 1e-4, 0.0)["tpot"] > errors(alone, 1e-4, 0.0)["tpot"]
    assert errors(tailed, 1e-4, 0.0)["itl"] > errors(alone, 1e-4, 0.0)["itl"] == 1e-4


def test_what_a_server_writes_after_the_last_token_makes_no_run_invalid() -> None:
    """The bound of itl counts it; that the client was slow it does not say."""
    tokens = ((0.2, 1), (0.25, 1))
    rows = [kernel(i, chunks=tokens, chunk_lag_s=(0.01, 0.2), has_tail=True) for i in range(9)]
    data = run(*rows)
    found = Instrument.of(data, None, (client(),))
    assert found.error_s["itl"] > 0.01
    (shared,) = (c for c in checks(data, found, Validity()) if c.name == "shared_reads")
    assert (shared.value, shared.ok) == (found.stamp_error_s, True)


def test_how_long_a_last_token_waits_for_its_tail_is_found() -> None:
    """A server that ends its streams some 0.2 ms after the last token, a client that wakes after
    some 0.2 ms: what came before it woke has the stamp of the end. 99 % of those that were joined
    waited no longer than is said, and bytes wait for longer."""
    rng = np.random.default_rng(3)
    rows, truly_s = [], []
    for i in range(3000):
        rest_s, wakes_s = rng.gamma(2, 1e-4), rng.gamma(2, 1e-4)
        is_joined = rest_s < wakes_s
        if is_joined:
            truly_s.append(rest_s)
        last_s = 0.25 + rest_s * is_joined
        rows.append(
            kernel(
                i,
                due_s=float(i),
                chunks=((0.2, 1), (last_s, 1)),
                finished_s=i + 0.25 + rest_s,
                chunk_lag_s=(float(rng.gamma(2, 1e-4)), wakes_s - rest_s * is_joined),
                has_tail=is_joined,
            )
        )
    data = run(*rows, window_s=(0.0, 1e5))
    said_s = tail_s(data)
    assert np.quantile(truly_s, 0.99) <= said_s < lag_spread(data).p99 * 1.01
    assert np.mean(np.array(truly_s) > said_s) < 0.01
    few = run(*rows[:20], window_s=(0.0, 1e5))
    assert tail_s(few) == lag_spread(few).p99
