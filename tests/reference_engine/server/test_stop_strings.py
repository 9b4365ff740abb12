"""Stop strings end an answer wherever tokens cut it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reference_engine.server.stop_strings import StopStrings

TEXTS = st.text(alphabet="abc", max_size=30)
STOPS = st.lists(st.text(alphabet="abc", min_size=1, max_size=4), min_size=1, max_size=3)


def sent(pieces: list[str], stops: list[str]) -> str:
    matcher = StopStrings(stops)
    out = []
    for piece in pieces:
        out.append(matcher.push(piece))
        if matcher.found:
            return "".join(out)
    return "".join(out) + matcher.flush()


def until_first_stop(text: str, stops: list[str]) -> str:
    """By definition: cut before the first stop string that is complete, the longer of two."""
    for end in range(len(text) + 1):
        complete = [stop for stop in stops if text[:end].endswith(stop)]
        if complete:
            return text[: end - max(map(len, complete))]
    return text


@given(TEXTS, STOPS, st.data())
def test_the_result_does_not_depend_on_the_cuts(
    text: str, stops: list[str], data: st.DataObject
) -> None:
    """What is sent is the text before the first complete stop string, however it is cut."""
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=6)))
    pieces = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    assert sent(pieces, stops) == until_first_stop(text, stops)


@given(TEXTS, STOPS)
def test_no_more_is_held_back_than_may_start_a_stop_string(text: str, stops: list[str]) -> None:
    """Held text is always the beginning of some stop string, so all other text goes out at once."""
    matcher = StopStrings(stops)
    out = ""
    for position, char in enumerate(text):
        out += matcher.push(char)
        if matcher.found:
            return
        held = text[: position + 1].removeprefix(out)
        assert any(stop.startswith(held) for stop in stops)


@pytest.mark.parametrize(
    ("pieces", "stops", "expected"),
    [
        (["Hello wor", "ld. Next"], ["world"], "Hello "),
        (["abc"], ["b"], "a"),
        (["no stop here"], ["!"], "no stop here"),
        (["ends with <", "|im"], ["<|im_end|>"], "ends with <|im"),
        (["一二", "三四"], ["二三"], "一"),
    ],
)
def test_examples(pieces: list[str], stops: list[str], expected: str) -> None:
    """Rows a person can check."""
    assert sent(pieces, stops) == expected
