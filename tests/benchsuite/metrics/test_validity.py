"""What makes a run invalid, what is a warning, what applies where."""

from typing import Any

import numpy as np
import pytest

from benchsuite.metrics.validity import Check, Validity, checks, judge
from benchsuite.records.record import Record
from benchsuite.records.table import RunData
from tests.runs import failed, never_sent, record, run

LAG = (0.0005,) * 4


def _good(i: int, **changes: Any) -> Record:
    usual: dict[str, Any] = {"stamp_source": "kernel", "chunk_lag_s": LAG}
    return record(i, **{**usual, **changes})


def _checks(data: RunData, **limits: Any) -> dict[str, Check]:
    return {check.name: check for check in checks(data, Validity(**limits))}


def _run(*records: Record, **changes: Any) -> RunData:
    return run(*records, window_s=(0.0, 100.0), **changes)


def _refused(i: int) -> Record:
    """What a closed loop finds where nobody listens."""
    return failed(i, due_s=None, sent_s=None, finished_s=float(i), error_class="refused")


def test_a_request_without_an_answer_says_nothing_of_the_stamps() -> None:
    """A refused connection has no stamps; the others' are the kernel's all the same."""
    busy = [_good(i, chunk_lag_s=(0.006,) * 4, due_s=i / 2) for i in range(199)]
    refused = failed(199, due_s=99.5, sent_s=None, error_class="refused")
    assert judge(checks(_run(*busy, refused), Validity())).verdict == "valid"


def test_a_short_run_may_be_as_late_as_its_requests() -> None:
    """Three requests within 10 ms, the last 1 ms late: that is no rate to judge."""
    due_s = (0.0, 0.005, 0.01)
    late_s = (0.0, 0.0, 0.001)
    short = (
        _good(i, due_s=due, sent_s=due + late, connect_s=0.0)
        for i, (due, late) in enumerate(zip(due_s, late_s, strict=True))
    )
    assert _checks(_run(*short))["achieved_rate"].ok


def test_a_good_run_is_valid_without_a_warning() -> None:
    assert judge(checks(_run(*(_good(i) for i in range(10))), Validity())) == ("valid", (), ())


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("complete", _run(_good(0), partial="interrupted")),
        ("requests", _run()),
        ("requests", _run(failed(0))),
        ("send_delay", _run(*(_good(i, sent_s=i + 0.02) for i in range(10)))),
        ("client_lag", _run(_good(0, chunk_lag_s=(0.006,) * 4, stamp_source="user"))),
        ("client_lag", _run(_good(0, chunk_lag_s=(0.11,) * 4))),
        ("delivered", _run(*(_good(i) for i in range(9)), planned_due_s=np.arange(10.0))),
        ("achieved_rate", _run(*(_good(i, sent_s=i * 1.03) for i in range(10)))),
        ("output_tokens", _run(_good(0, must_reach_asked=True, output_tokens_asked=5))),
        ("output_tokens", _run(_good(0, must_reach_asked=True, output_tokens_asked=3))),
        ("errors", _run(*(_good(i) for i in range(98)), failed(98), failed(99))),
        ("errors", _run(_good(0, due_s=None, sent_s=0.0), _refused(1))),
        ("empty_answers", _run(_good(0), _good(1, chunks=(), chunk_lag_s=()))),
        ("errors", _run(_good(0), failed(1, session_id=1), never_sent(2, session_id=1, turn=1))),
        ("tokens_known", _run(_good(0), _good(1, tokens_from="chunks"))),
    ],
)
def test_hard_checks_make_a_run_invalid(name: str, data: RunData) -> None:
    check = _checks(data)[name]
    assert check.hard
    assert not check.ok
    verdict = judge([check])
    assert verdict.verdict == "invalid"
    assert verdict.reasons == (check.sentence,)


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("client_busy", _run(_good(0, chunk_lag_s=(0.006,) * 4))),
        ("stamps", _run(_good(0), record(1))),
        ("prompt_tokens", _run(_good(0, prompt_tokens_asked=1000, server_prompt_tokens=1200))),
        ("tokens_from_server", _run(_good(0), _good(1, tokens_from="tokenizer"))),
        ("tokens_per_chunk", _run(_good(0, chunk_tokens=(1, 1, 1, 2)))),
        ("window_length", run(_good(0), window_s=(0.0, 1.0))),
        (
            "output_tokens_counted",
            _run(
                _good(0, must_reach_asked=True, output_tokens_asked=5, tokens_from="tokenizer"),
            ),
        ),
    ],
)
def test_soft_checks_warn(name: str, data: RunData) -> None:
    check = _checks(data)[name]
    assert not check.hard
    assert not check.ok
    verdict = judge([check])
    assert verdict == ("valid", (), (check.sentence,))


@pytest.mark.parametrize(("free_s", "ok"), [(0.02, True), (0.03, False)])
def test_a_closed_loop_must_keep_its_slots_filled(free_s: float, ok: bool) -> None:
    """0.02 s without a request beside an answer of 0.5 s are 3.8 % of the slot's time."""
    data = _run(_good(0, due_s=None, sent_s=0.0), _good(1, due_s=None, sent_s=0.5 + free_s))
    found = _checks(data)
    assert found["concurrency"].ok is ok
    assert found["concurrency"].hard
    assert {"send_delay", "delivered", "achieved_rate"}.isdisjoint(found)
    assert "concurrency" not in _checks(_run(_good(0), _good(1)))


@pytest.mark.parametrize(("free_s", "ok"), [(0.0004, True), (0.0049, True), (0.0051, False)])
def test_a_slot_may_be_free_as_long_as_a_request_may_be_late(free_s: float, ok: bool) -> None:
    """Answers of 1 ms and 0.4 ms until the next: a fast server, no slow client. It is said."""
    quick = {"due_s": None, "chunks": ((0.0005, 1), (0.001, 1)), "chunk_lag_s": ()}
    data = _run(*(_good(i, sent_s=i * (0.001 + free_s), **quick) for i in range(20)))
    found = _checks(data)
    assert found["concurrency"].ok is ok
    assert not found["idle_slots"].ok
    assert not found["idle_slots"].hard
    assert "rates and concurrency are this client's too" in found["idle_slots"].sentence


def test_opening_a_connection_is_not_the_clients_lateness() -> None:
    late = [_good(i, sent_s=i + 0.5, connect_s=0.4999) for i in range(10)]
    assert _checks(_run(*late))["send_delay"].value == 0


@pytest.mark.parametrize(("num", "late", "ok"), [(10, 1, True), (10, 2, False), (300, 8, False)])
def test_a_hiccup_is_no_late_client(num: int, late: int, ok: bool) -> None:
    """The p99 of ten requests is not known: one that is late may be chance, two are not."""
    records = (_good(i, sent_s=i + (0.02 if i < late else 0.0)) for i in range(num))
    assert _checks(run(*records))["send_delay"].ok is ok


def test_limits_grow_with_what_is_measured() -> None:
    """5 % of a ttft of 2 s is 100 ms; 5 % of a gap of 1 s is 50 ms."""
    chunks = ((2.0, 1), (3.0, 1), (4.0, 1), (5.0, 1))
    found = _checks(_run(*(_good(i, chunks=chunks, stamp_source="user") for i in range(3))))
    assert "more than 100 ms late" in found["send_delay"].sentence
    assert found["client_lag"].limit == pytest.approx(0.05)


def test_a_scenario_may_state_its_own_limits() -> None:
    data = _run(_good(0), failed(1))
    assert not _checks(data)["errors"].ok
    assert _checks(data, errors=0.5)["errors"].ok


def test_virtual_time_has_neither_lag_nor_unknown_stamps() -> None:
    found = _checks(_run(record(0, stamp_source="virtual")))
    assert "client_lag" not in found
    assert found["stamps"].ok


def test_a_chat_template_may_add_tokens() -> None:
    check = _checks(_run(_good(0, prompt_tokens_asked=64, server_prompt_tokens=64 + 50)))
    assert check["prompt_tokens"].ok


def test_outputs_that_may_stop_early_are_not_held_to_a_length() -> None:
    assert "output_tokens" not in _checks(_run(_good(0, output_tokens_asked=500)))


def test_requests_outside_the_window_do_not_decide() -> None:
    """A cold start is what the warm-up is for."""
    records = (_good(0, sent_s=0.9), failed(1), *(_good(i) for i in range(2, 200)))
    found = _checks(run(*records, window_s=(2.0, 1000.0)))
    assert found["send_delay"].ok
    assert found["errors"].ok


@pytest.mark.parametrize("data", [_run(), _run(failed(0)), _run(_good(0))])
def test_every_check_has_a_sentence_even_where_there_is_nothing(data: RunData) -> None:
    for check in checks(data, Validity()):
        assert check.sentence
        assert check.ok is (check.name not in {"requests", "errors"} or _usable_exists(data))


def _usable_exists(data: RunData) -> bool:
    return bool((data.ok & data.in_window).any())


def test_sentences_name_the_number_and_the_limit() -> None:
    data = _run(*(_good(i, sent_s=i + 0.038) for i in range(10)))
    assert _checks(data)["send_delay"].sentence == (
        "10 of 10 requests left more than 10 ms late (at most 1 may; p99 38 ms): "
        "the client was too slow for this load"
    )


def test_embeddings_hold_no_tokens() -> None:
    """Neither are they empty answers, nor too short ones; an answer without tokens is."""
    vectors = [
        record(i, chunks=(), finish_reason="embedded", must_reach_asked=True) for i in (0, 1)
    ]
    found = _checks(_run(*vectors))
    assert "empty_answers" not in found
    assert "output_lengths" not in found
    assert not _checks(_run(record(0), record(1, chunks=())))["empty_answers"].ok
