"""YAML 1.2 read with places, and written so that it reads back."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchsuite.errors import ScenarioError
from benchsuite.yaml_file import dotted, read, write

FLOATS = st.floats(allow_nan=False, allow_infinity=False)
INTS = st.integers(-(2**63) + 1, 2**63 - 1)
TEXTS = st.text(st.characters(codec="utf-8"), max_size=20)
VALUES = st.recursive(
    st.none() | st.booleans() | INTS | FLOATS | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)


def value_of(folder: Path, text: str) -> Any:
    path = folder / "value.yaml"
    path.write_text(f"value: {text}\n", encoding="utf-8")
    return read(path).value["value"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("no", "no"),
        ("on", "on"),
        ("Yes", "Yes"),
        ("true", True),
        ("FALSE", False),
        ("tRue", "tRue"),
        ("null", None),
        ("~", None),
        ("", None),
        ("nULL", "nULL"),
        ("1e3", 1000.0),
        ("1e-3", 0.001),
        (".5", 0.5),
        ("5.", 5.0),
        ("+1.5", 1.5),
        ("017", 17),
        ("-017", -17),
        ("00", 0),
        ("0o17", 15),
        ("0x1F", 31),
        ("0b11", "0b11"),
        ("1_000", "1_000"),
        ("1:30", "1:30"),
        ("2024-01-01", "2024-01-01"),
        ("2024-01-01T10:00:00Z", "2024-01-01T10:00:00Z"),
        ('"5"', "5"),
        ("'true'", "true"),
        ("!!str 5", "5"),
        ('!!int "5"', 5),
        ("=", "="),
        ("${env:NAME}", "${env:NAME}"),
        ("|\n  a\n  b", "a\nb\n"),
        ("-9223372036854775807", -(2**63) + 1),
    ],
)
def test_scalars(tmp_path: Path, text: str, expected: object) -> None:
    """YAML 1.2's core schema and nothing else, whatever the directive says."""
    assert value_of(tmp_path, text) == expected
    assert type(value_of(tmp_path, text)) is type(expected)
    path = tmp_path / "old.yaml"
    path.write_text("%YAML 1.1\n---\nvalue: no\n")
    assert read(path).value == {"value": "no"}


def test_aliases_are_copies(tmp_path: Path) -> None:
    """An alias stands for what it names; changing one with --set leaves the other alone."""
    path = tmp_path / "a.yaml"
    path.write_text("a: &x {ttft: 1}\nb: *x\nc: &x 2\nd: *x\n")
    source = read(path)
    source.override("b.ttft=5")
    assert source.value == {"a": {"ttft": 1}, "b": {"ttft": 5}, "c": 2, "d": 2}


def test_a_byte_order_mark_and_windows_lines(tmp_path: Path) -> None:
    """Files from other editors are read, with the same places."""
    path = tmp_path / "w.yaml"
    path.write_bytes("\ufeffa: 1\r\nb: 2\r\n".encode())
    source = read(path)
    assert source.value == {"a": 1, "b": 2}
    assert source.place(("b",))[:2] == (2, 1)


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("a=5", {"a": 5, "items": [{"b": 1}, {"b": 2}]}),
        ("items.1.b=5", {"a": {}, "items": [{"b": 1}, {"b": 5}]}),
        ("items[1].b=5", {"a": {}, "items": [{"b": 1}, {"b": 5}]}),
        ("items[0]=[x, 1e3]", {"a": {}, "items": [["x", 1000.0], {"b": 2}]}),
        ("items.0.b.c.d=1", {"a": {}, "items": [{"b": {"c": {"d": 1}}}, {"b": 2}]}),
        ("a.x.y={z: no}", {"a": {"x": {"y": {"z": "no"}}}, "items": [{"b": 1}, {"b": 2}]}),
        ("new=a=b", {"a": {}, "items": [{"b": 1}, {"b": 2}], "new": "a=b"}),
        ("a=", {"a": None, "items": [{"b": 1}, {"b": 2}]}),
    ],
)
def test_overrides(tmp_path: Path, override: str, expected: object) -> None:
    """Keys are made where they are missing, list items are counted from 0, values are YAML."""
    path = tmp_path / "a.yaml"
    path.write_text("a: {}\nitems: [{b: 1}, {b: 2}]\n")
    source = read(path)
    source.override(override)
    assert source.value == expected


def test_places(tmp_path: Path) -> None:
    """Of every key and item; what --set gave is placed there, what is missing at its parent."""
    path = tmp_path / "a.yaml"
    path.write_text("a:\n  - b: 1\n  -   2\nc: {d: 1}\n")
    source = read(path)
    source.override("c.e=1")
    assert source.place(("a", 0, "b"))[:2] == (2, 5)
    assert source.place(("a", 1))[:2] == (3, 7)
    assert source.place(("c", "d"))[:2] == (4, 5)
    assert source.place(("c", "f"))[:2] == (4, 1)
    assert source.place(("x",)).text == f"{path}:1:1"
    assert source.place(("c", "e", "f")).text == "--set c.e=1"


def test_what_cannot_be_opened(tmp_path: Path) -> None:
    """The file and the reason."""
    with pytest.raises(ScenarioError, match=r"none\.yaml: no such file or directory"):
        read(tmp_path / "none.yaml")
    with pytest.raises(ScenarioError, match=r": is a directory"):
        read(tmp_path)


def test_dotted() -> None:
    assert dotted(("a", 0, "b", 1, 2)) == "a[0].b[1][2]"


@given(st.dictionaries(TEXTS, VALUES, max_size=4))
def test_what_is_written_reads_back(tmp_path_factory: pytest.TempPathFactory, value: Any) -> None:
    """Any text, number and nesting: the same value and the same kinds."""
    path = tmp_path_factory.getbasetemp() / "round.yaml"
    write(value, path)
    back = read(path).value if value else {}
    assert back == value
    assert repr(back) == repr(value)  # 1 is not 1.0, and neither is True


def test_characters_in_two_halves(tmp_path: Path) -> None:
    """As JSON writes them; half a one is refused, as value and as key: no file can hold it."""
    assert value_of(tmp_path, '"\\ud83d\\ude00"') == "\U0001f600"
    for text in ('"a\\ud83d"', '{"\\ude00": 1}'):
        with pytest.raises(ScenarioError, match=r"value.yaml:1:\d+: half a character"):
            value_of(tmp_path, text)
