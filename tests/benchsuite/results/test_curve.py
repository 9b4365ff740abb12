"""What a selftest's curve says about a load, and where it is kept."""

from pathlib import Path

import msgspec
import pytest

from benchsuite.results.curve import Curve, Load, last, state_path
from tests.benchsuite.selftest.curves import MACHINE, curve, request_point, token_point


def test_a_load_is_trusted_as_far_as_every_smaller_one_was_good() -> None:
    assert curve().trusted == Load(64, 3_200.0, 100)


def test_a_good_point_beyond_a_bad_one_is_luck() -> None:
    """A small load that failed leaves nothing above it to be trusted."""
    lucky = curve(
        tokens=(token_point(16, 2e-3), token_point(64)),
        requests=(request_point(50, 2e-3), request_point(100)),
    )
    assert lucky.trusted == Load(0.0, 0.0, 0.0)


@pytest.mark.parametrize("rate", [49.0, 51.0])
def test_requests_at_another_rate_than_asked_are_not_good(rate: float) -> None:
    """In time by the median, but not as many as were asked."""
    assert not request_point(50, sent_per_s=rate).is_trusted
    assert request_point(50, sent_per_s=50.1).is_trusted


def test_tokens_that_came_slower_than_asked_are_not_good() -> None:
    assert not token_point(16, tokens_per_s=790.0).is_trusted
    assert token_point(16, tokens_per_s=801.0).is_trusted


@pytest.mark.parametrize(
    ("load", "error_s"),
    [
        (Load(1, 50, 0), 5e-5),
        (Load(16, 800, 0), 5e-5),
        (Load(17.5, 800, 1e9), 5e-5),  # a tenth more is the same load; requests are no matter
        (Load(18, 800, 0), 8e-5),
        (Load(1, 3_000, 0), 8e-5),
        (Load(200, 10_000, 0), 2e-3),
        (Load(300, 1, 0), 2e-3),  # never tested: not better than the largest that was
    ],
)
def test_the_error_of_a_load_is_that_of_the_next_larger_one(load: Load, error_s: float) -> None:
    assert curve().stamp_error_s(load, "kernel") == error_s


def test_stamps_of_another_kind_were_not_tested() -> None:
    """What is known of the kernel's stamps says nothing about those of another transport."""
    assert curve().stamp_error_s(Load(1, 1, 1), "user") is None


def test_the_error_of_a_sending_is_looked_up_by_rate() -> None:
    points = (request_point(50), request_point(500, sent_error=curve().requests[0].send_delay))
    assert curve(requests=points).sent_error_s(Load(1, 1, 54)) == 3e-5
    assert curve(requests=points).sent_error_s(Load(1, 1, 200)) == 4e-4
    assert curve(requests=points).sent_error_s(Load(1, 1, 9999)) == 4e-4


def test_a_load_is_beyond_another_in_anything() -> None:
    shown = Load(100, 1000, 10)
    assert not Load(110, 1100, 11).is_beyond(shown)
    assert Load(111, 1, 1).is_beyond(shown)
    assert Load(1, 1101, 1).is_beyond(shown)
    assert Load(1, 1, 12).is_beyond(shown)


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BENCHSUITE_STATE", str(tmp_path / "state"))
    return tmp_path / "state"


@pytest.mark.usefixtures("state")
def test_what_was_kept_is_found_again_on_this_machine_alone() -> None:
    assert last(MACHINE) is None
    assert curve().keep() == state_path(MACHINE)
    assert last(MACHINE) == curve()
    for field in ("benchsuite", "python", "platform", "cpu_model"):
        assert last(msgspec.structs.replace(MACHINE, **{field: "another"})) is None


@pytest.mark.usefixtures("state")
def test_a_quick_selftest_does_not_take_the_place_of_a_full_one() -> None:
    quick = curve(is_quick=True)
    assert quick.keep() is not None
    assert curve().keep() is not None
    assert quick.keep() is None
    assert last(MACHINE) == curve()


@pytest.mark.parametrize("content", ["", "{}", "\x00", '{"schema_version": "1.0"}'])
def test_a_broken_file_is_no_selftest(state: Path, content: str) -> None:
    """It must not keep a run from starting."""
    state.mkdir()
    state_path(MACHINE).write_text(content)
    assert last(MACHINE) is None


def test_the_state_folder_is_the_user_s_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """As the XDG base directory specification says."""
    monkeypatch.delenv("BENCHSUITE_STATE")
    monkeypatch.setenv("XDG_STATE_HOME", "/xdg")
    assert state_path(MACHINE).parent == Path("/xdg/benchsuite")
    monkeypatch.delenv("XDG_STATE_HOME")
    monkeypatch.setenv("HOME", "/home/someone")
    assert state_path(MACHINE).parent == Path("/home/someone/.local/state/benchsuite")


def test_a_curve_comes_back_from_its_file(tmp_path: Path) -> None:
    curve().save(tmp_path / "deep" / "selftest.json")
    raw = (tmp_path / "deep" / "selftest.json").read_bytes()
    assert msgspec.json.decode(raw, type=Curve) == curve()
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["selftest.json"]
