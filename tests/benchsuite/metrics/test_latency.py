"""Latency metrics: from which moment to which, and what is left out."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchsuite.endpoints.base import Kind
from benchsuite.metrics import latency
from tests.runs import failed, record, run

nan = float("nan")
Chunks = tuple[tuple[float, int], ...]


def test_a_request_sent_late_still_counts_from_when_it_was_due() -> None:
    data = run(record(0, due_s=0.0, sent_s=0.15))
    assert latency.ttft(data)[0] == pytest.approx(0.2)
    assert latency.ttft_sent(data)[0] == pytest.approx(0.05)
    assert latency.e2e_latency(data)[0] == pytest.approx(0.5)
    assert latency.e2e_latency_sent(data)[0] == pytest.approx(0.35)


def test_where_nothing_is_due_latency_counts_from_sent() -> None:
    """Closed loop."""
    data = run(record(0, due_s=None, sent_s=3.0))
    assert latency.ttft(data)[0] == pytest.approx(0.2)
    assert latency.ttft_sent(data)[0] == pytest.approx(0.2)


def test_e2e_latency_runs_to_the_end_of_the_stream() -> None:
    """Not only to the last token: usage and [DONE] belong to the answer."""
    data = run(record(0, finished_s=0.75))
    assert latency.e2e_latency(data)[0] == pytest.approx(0.75)


def test_reasoning_counts_for_ttft_and_not_for_ttfo() -> None:
    kinds = (Kind.REASONING, Kind.REASONING, Kind.CONTENT, Kind.CONTENT)
    data = run(record(0, chunk_kind=tuple(map(int, kinds))))
    assert latency.ttft(data)[0] == pytest.approx(0.2)
    assert latency.ttfo(data)[0] == pytest.approx(0.4)


@pytest.mark.parametrize(
    ("chunks", "tpot_s"),
    [
        (((0.2, 1), (0.3, 1), (0.5, 1)), 0.15),  # the plain case: (last - first) / (n - 1)
        (((0.2, 5), (0.3, 1), (0.5, 1)), 0.15),  # a fat first chunk cannot flatter
        (((0.2, 1), (0.6, 4)), 0.1),  # four tokens at once after 0.4 s
        (((0.2, 1),), nan),  # one token
        (((0.2, 7),), nan),  # one chunk
        ((), nan),  # nothing
        (((0.2, 1), (0.2, 1)), 0.0),  # two reads with one stamp
        (((0.2, 2), (0.3, 0)), nan),  # nothing but the first chunk held tokens
    ],
)
def test_tpot(chunks: Chunks, tpot_s: float) -> None:
    """(last token - first token) / (tokens - tokens of the first arrival); undefined, not zero."""
    assert latency.tpot(run(record(chunks=chunks)))[0] == pytest.approx(tpot_s, nan_ok=True)


@pytest.mark.parametrize(
    ("chunks", "reads", "itl_s", "icl_s"),
    [
        (((0.2, 1), (0.3, 1), (0.5, 1)), (0, 1, 2), [nan, 0.1, 0.2], [nan, 0.1, 0.2]),
        (((0.2, 1), (0.6, 4)), (0, 1), [nan, 0.1, 0.1, 0.1, 0.1], [nan, 0.4]),
        # two chunks in one read share the gap before the read; between them there is none
        (((0.2, 1), (0.4, 1), (0.4, 1)), (0, 1, 1), [nan, 0.1, 0.1], [nan, 0.2, 0.0]),
        (((0.2, 3), (0.5, 1)), (0, 1), [nan, nan, nan, 0.3], [nan, 0.3]),
        (((0.2, 1), (0.2, 1), (0.4, 2)), (0, 0, 1), [nan, nan, 0.1, 0.1], [nan, 0.0, 0.2]),
        # a chunk without tokens passes its gap on to the next that has some
        (((0.2, 1), (0.3, 0), (0.5, 1)), (0, 1, 2), [nan, 0.3], [nan, 0.1, 0.2]),
        ((), (), [], []),
    ],
)
def test_itl_shares_a_gap_among_its_tokens_and_icl_does_not(
    chunks: Chunks, reads: tuple[int, ...], itl_s: list[float], icl_s: list[float]
) -> None:
    data = run(record(chunks=chunks, chunk_read=reads))
    assert latency.itl(data) == pytest.approx(itl_s, nan_ok=True)
    assert latency.icl(data) == pytest.approx(icl_s, nan_ok=True)


def test_gaps_do_not_cross_from_one_request_to_the_next() -> None:
    data = run(record(0), failed(1), record(2))
    assert np.isnan(latency.itl(data)).tolist() == [True, False, False, False] * 2
    assert np.isnan(latency.icl(data)).tolist() == [True, False, False, False] * 2


def _at_times(rows: list[tuple[float, int]]) -> Chunks:
    at_s = np.cumsum([gap_s for gap_s, _ in rows]).tolist()
    return tuple((at, tokens) for at, (_, tokens) in zip(at_s, rows, strict=True))


_GAPS = st.tuples(st.floats(0.0, 1.0), st.integers(1, 5))
_STREAM = st.lists(_GAPS, min_size=2, max_size=12).map(_at_times)


@given(st.lists(_STREAM, min_size=1, max_size=4))
def test_the_mean_itl_of_a_request_is_its_tpot(streams: list[Chunks]) -> None:
    """Whatever the chunks: the gaps add up to last - first, and tpot divides by their number."""
    data = run(*(record(i, chunks=chunks) for i, chunks in enumerate(streams)))
    gaps_s, tpot_s = latency.itl(data), latency.tpot(data)
    for i in range(len(data)):
        own = gaps_s[data.per_token(np.arange(len(data))) == i]
        assert np.nanmean(own) == pytest.approx(tpot_s[i], abs=1e-9)


@given(st.lists(_STREAM, min_size=1, max_size=4))
def test_itl_p99_is_numpys_percentile_of_each_request(streams: list[Chunks]) -> None:
    data = run(*(record(i, chunks=chunks) for i, chunks in enumerate(streams)))
    gaps_s, found = latency.itl(data), latency.itl_p99(data)
    for i in range(len(data)):
        own = gaps_s[data.per_token(np.arange(len(data))) == i]
        assert found[i] == pytest.approx(np.nanpercentile(own, 99), abs=1e-9)


def test_itl_p99_is_undefined_without_a_gap() -> None:
    assert np.isnan(latency.itl_p99(run(record(0, chunks=((0.1, 3),)), failed(1)))).all()


def test_normalised_latency_shares_the_whole_wait_among_the_tokens() -> None:
    data = run(record(0), record(1, chunks=()))
    assert latency.normalised_latency(data) == pytest.approx([0.125, nan], nan_ok=True)


def test_tps_user_is_the_inverse_of_tpot() -> None:
    """Undefined where all tokens came at one instant: no speed is infinite."""
    data = run(record(0), record(1, chunks=((0.1, 1),)), record(2, chunks=((0.1, 1), (0.1, 1))))
    assert latency.tps_user(data) == pytest.approx([10.0, nan, nan], nan_ok=True)
