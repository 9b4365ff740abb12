"""Durations and references to the environment."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchsuite.spec import Spec, has_broken_reference, resolve_env, seconds


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("500ms", 0.5),
        ("35ms", 0.035),  # 35 * 1e-3 is 0.035000000000000003
        ("2s", 2.0),
        ("0s", 0.0),
        ("1.5 s", 1.5),
        (" .5s ", 0.5),
        ("3m", 180.0),
        ("1h", 3600.0),
        ("250us", 0.00025),
        ("999999999999h", 3599999999996400.0),
        ("2", None),  # a number of seconds is written without quotes
        ("5 sec", None),
        ("-5s", None),
        ("1e3s", None),
        ("1:30", None),
        ("1m30s", None),
        ("٣s", None),
        ("", None),
        ("s", None),
        ("9" * 400 + "s", None),
    ],
)
def test_durations(text: str, expected: float | None) -> None:
    """A duration is a plain number and one unit, read as exactly as a float can hold it."""
    assert seconds(text) == expected


@given(st.integers(0, 10**9))
def test_milliseconds_are_exact(num: int) -> None:
    """`n`ms is the float nearest to n / 1000."""
    assert seconds(f"{num}ms") == num / 1000


def test_references_are_looked_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Anywhere in a text; other text stays as it is."""
    monkeypatch.setenv("BENCH_KEY", "s3cret")
    assert resolve_env("${env:BENCH_KEY}") == "s3cret"
    assert resolve_env("Bearer ${env:BENCH_KEY}!") == "Bearer s3cret!"
    assert resolve_env("$BENCH_KEY") == "$BENCH_KEY"


def test_an_unset_variable_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """KeyError(NAME), so that the caller can say which key wanted it."""
    monkeypatch.delenv("BENCH_KEY", raising=False)
    with pytest.raises(KeyError) as raised:
        resolve_env("Bearer ${env:BENCH_KEY}")
    assert raised.value.args == ("BENCH_KEY",)


def test_a_value_is_not_looked_up_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A secret that holds `${env:...}` is sent as it is."""
    monkeypatch.setenv("OUTER", "${env:INNER}")
    assert resolve_env("${env:OUTER}") == "${env:INNER}"


@pytest.mark.parametrize("text", ["${NAME}", "${env:}", "${env:A B}", "${env:A", "${env:A} ${B}"])
def test_broken_references(text: str) -> None:
    """What looks like a reference and is none would be sent as it stands."""
    assert has_broken_reference(text)
    assert not has_broken_reference("${env:A} $B {C}")


class Section(Spec, frozen=True, tag="section"):
    size: int = 1


@pytest.mark.parametrize("fields", [{"type": "section", "sise": 2}, {"type": "other"}])
def test_a_spec_refuses_what_it_does_not_know(fields: dict[str, Any]) -> None:
    """Unknown keys and tags are errors, with or without our own messages."""
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(fields, Section)


def test_a_spec_is_frozen() -> None:
    """Nobody changes a scenario once it is read."""
    with pytest.raises(AttributeError):
        Section().size = 2  # type: ignore[misc]
