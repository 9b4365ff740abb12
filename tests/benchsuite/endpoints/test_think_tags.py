"""What was thought is told apart from what was said, tokens and times kept."""

import pytest

from benchsuite.endpoints.think_tags import told_apart
from benchsuite.exchange import NO_CHUNKS, Chunks, Kind, Response

C, R, T = Kind.CONTENT, Kind.REASONING, Kind.TOOL_CALL


def response(*texts: str, kinds: tuple[Kind, ...] | None = None, tokens: int = 1) -> Response:
    num = len(texts)
    columns = Chunks(list(range(num)), bytes(kinds or (C,) * num), list(texts), [tokens] * num)
    return Response(columns, None, "usage", "stop", None, None)


@pytest.mark.parametrize(
    ("texts", "thought", "said"),
    [
        (("<think>", "hm", "</think>", "yes"), "<think>hm</think>", "yes"),
        (("<th", "ink>hm", " so</thi", "nk>", "\n", "yes"), "<think>hm so</think>", "\nyes"),
        (("hm", "</think>\n\n", "yes"), "hm</think>\n\n", "yes"),
        (("<think>hm</think>yes",), "<think>hm</think>", "yes"),
        (("<think>", "hm"), "<think>hm", ""),
        (("yes", " <b>"), "", "yes <b>"),
    ],
)
def test_tags(texts: tuple[str, ...], thought: str, said: str) -> None:
    """However the tags are cut; with the opening one in the prompt; with no end; with none."""
    found = told_apart(response(*texts))
    assert (found.reasoning, found.text) == (thought, said)
    assert found.output_tokens == len(texts)


def test_a_chunk_with_both_becomes_two_of_one_read() -> None:
    """Its tokens are shared by length."""
    found = told_apart(response("<think>hm</think>yes", tokens=10))
    assert [(c.read, c.kind) for c in found.chunks] == [(0, R), (0, C)]
    assert found.output_tokens == 10
    assert all(c.tokens > 0 for c in found.chunks)


def test_what_the_server_told_apart_stays() -> None:
    """A tag in the answer then is text; calls are left alone."""
    parsed = response("hm", "a </think> b", kinds=(R, C))
    assert told_apart(parsed) == parsed
    found = told_apart(response("<think>hm</think>", "f{}", kinds=(C, T)))
    assert [c.kind for c in found.chunks] == [R, T]


def test_each_of_several_answers_is_read_by_its_own_tags() -> None:
    """What was thought is in none of them."""
    items = ("<think>2 + 2</think>4", "5", "<think>2 +")
    response = Response(NO_CHUNKS, None, "usage", "stop", None, None, items=items)
    assert told_apart(response).items == ("4", "5", "")
