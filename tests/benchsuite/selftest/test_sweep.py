"""The sweep: arithmetic on answers made by hand, and a tiny one through the real road."""

from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import benchsuite.selftest.sweep as module
from benchsuite.cli import app
from benchsuite.errors import RunError
from benchsuite.exchange import Exchange
from benchsuite.records.client import Client, Pauses
from benchsuite.records.spool import Asked
from benchsuite.selftest.emitter import Truth
from benchsuite.selftest.sweep import (
    Answer,
    Plan,
    Sent,
    answer_number,
    request_point,
    sweep,
    token_point,
)

TINY = Plan((2,), (100,), 0.2, 50, 0.1)


def _answer(
    emitted_s: list[float], stamped_s: list[float], read: list[int] | None = None, num: int = 0
) -> Answer:
    """Due one token every 10 ms from 1 s on; the program saw each read 1 ms after its stamp."""
    asked = Asked(
        request_id=num, session_id=num, turn=0, worker=0, slo_class="default", due_s=0.5,
        prompt_tokens_asked=1, prompt_tokens=1, output_tokens_asked=1, must_reach_asked=True,
        expected=None, grader=None,
    )  # fmt: skip
    exchange = Exchange(
        request_id=num, stamp_source="kernel", framing="http", connect_s=0.1,
        sent_s=0.5 + 0.1 + num * 0.01, read_s=stamped_s, lag_s=[1e-3] * len(stamped_s),
    )  # fmt: skip
    emitted_ns = (np.array(emitted_s) * 1e9).astype(np.int64)
    truth = Truth(num, 620_000_000, 1_000_000_000, 10_000_000, emitted_ns.tobytes(), num)
    return Answer(asked, exchange, read or list(range(len(stamped_s))), truth)


def _sent(*answers: Answer) -> Sent:
    client = Client(
        worker=0, wall_s=2.0, cpu_s=0.6, stalls=Pauses(num=1, longest_s=0.02, total_s=0.02),
        stall_s=0.005, gc=Pauses(), clock_error_s=1e-7, machine_s=3.0,
    )  # fmt: skip
    return Sent(list(answers), client, emitter_cpu_s=0.4)


def test_a_stamp_s_error_is_its_distance_from_the_true_emission() -> None:
    """Early would be as wrong as late."""
    sent = _sent(_answer([1.0, 1.01, 1.02], [1.00002, 1.01001, 1.01997]))
    point = token_point(sent, 1, 100.0)
    assert point.stamp_error.n == 3
    assert point.stamp_error.p50 == pytest.approx(2e-5, rel=1e-3)
    assert point.stamp_error.max == pytest.approx(3e-5, rel=1e-3)
    assert point.user_error.p50 == pytest.approx(1.01e-3, rel=1e-3)
    assert point.stamp_source == "kernel"
    assert point.cpu_per_token_s == pytest.approx(0.2)
    assert point.longest_stall_s == 0.02
    assert point.others_cpu == pytest.approx(1.0)


def test_tokens_of_one_read_have_its_stamp() -> None:
    sent = _sent(_answer([1.0, 1.01, 1.02], [1.0, 1.02], [0, 1, 1]))
    point = token_point(sent, 1, 100.0)
    assert point.shared == pytest.approx(1 / 3)
    assert point.stamp_error.max == pytest.approx(0.01)


def test_the_emitter_s_lateness_is_its_own() -> None:
    sent = _sent(_answer([1.004, 1.014], [1.004, 1.014]))
    point = token_point(sent, 1, 100.0)
    assert point.emitter_lateness.p50 == pytest.approx(0.004)
    assert point.stamp_error.max == pytest.approx(0.0, abs=1e-8)


def test_paced_streams_count_from_their_own_beginning_and_others_together() -> None:
    early, late = [1.0, 1.01, 1.02], [3.0, 3.01, 3.02]
    sent = _sent(_answer(early, early), _answer(late, late, num=1))
    assert token_point(sent, 2, 200.0).tokens_per_s == pytest.approx(200.0)
    assert token_point(sent, 2, None).tokens_per_s == pytest.approx(5 / 2.02)


def test_a_request_s_lateness_leaves_out_the_opening_of_its_connection() -> None:
    """Sent 0.1 s after due, all of it spent on the connection; the next one 10 ms later."""
    point = request_point(_sent(*(_answer([1.0], [1.0], num=num) for num in range(3))))
    assert point.send_delay.p50 == pytest.approx(0.01)
    assert point.send_delay.max == pytest.approx(0.02)
    assert point.sent_error.max == pytest.approx(0.02)
    assert point.sent_per_s == pytest.approx(100.0)
    assert point.cpu_per_request_s == pytest.approx(0.2)


def test_an_answer_says_which_it_is() -> None:
    exchange = Exchange(request_id=0, stamp_source="user", framing="http")
    exchange.reads = [b"HTTP/1.1 200 OK\r\nX-Emitter-Answer: 17\r\n\r\n"]
    assert answer_number(exchange) == 17
    exchange.reads = [b"HTTP/1.1 200 OK\r\n\r\n"]
    with pytest.raises(RunError, match="without the emitter's number"):
        answer_number(exchange)


def test_the_command_sweeps_through_the_real_road(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every token is matched with its true emission; the curve is printed, written and kept."""
    monkeypatch.setenv("BENCHSUITE_STATE", str(tmp_path / "state"))
    monkeypatch.setattr(module, "QUICK", TINY)
    done = CliRunner().invoke(app, ["selftest", "--quick", "--out", str(tmp_path / "out")])
    assert done.exit_code == 0, done.output
    assert "Token times can be trusted" in done.output
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "selftest.json",
        "selftest.html",
    }
    assert len(list((tmp_path / "state").glob("selftest-*.json"))) == 1


def test_a_curve_holds_a_point_for_every_load() -> None:
    said: list[str] = []
    curve = sweep(TINY, said.append)
    paced, full = curve.tokens
    assert (paced.streams, paced.asked_tokens_per_s) == (2, 100.0)
    assert paced.stamp_error.n == paced.user_error.n == 2 * 10
    assert paced.emitter_lateness.n == 20
    assert (full.streams, full.asked_tokens_per_s, full.stamp_error.n) == (64, None, 64 * 50)
    assert full.emitter_lateness.n == 0
    assert [point.send_delay.n for point in curve.requests] == [50]
    assert len(said) == 3
    assert not curve.is_quick
