"""Ids from pieces are those that the tokenizer gives for the whole text."""

import gzip
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tokenizers import Tokenizer as TokenizerFile

from reference_engine.server import pieces
from reference_engine.server.tokenizer import FileTokenizer

BUNDLED = Path(pieces.__file__).parents[2] / "benchsuite" / "data" / "tokenizer.json.gz"
FILE = TokenizerFile.from_str(gzip.decompress(BUNDLED.read_bytes()).decode())
OURS = FileTokenizer(BUNDLED)
ADDED = [token.content for token in FILE.get_added_tokens_decoder().values()]
WORDS = ["the", " of", "don't", "they'll", "x1y22", "\n\n", "  ", "\t", "...", "'S", " 'd", "\x1f"]
MARKS = [chr(code) for code in range(0x2000, 0x2070)]  # dashes and quotes, spaces among them


@given(
    st.lists(
        st.one_of(st.sampled_from([*WORDS, *ADDED]), st.sampled_from(MARKS), st.text(max_size=9))
    ).map("".join)
)
@example("a  b\n\n c \x1c d\r\n 12ab's'")
@example("".join(map(chr, range(128))))
@example("".join(MARKS))
@example("a".join(MARKS))
@example(" ".join(MARKS))
@example("<|im_start|>user\nHello  <|im_end|><|im_end|>\n<|im_start|")
def test_ids_are_those_of_the_whole_text(text: str) -> None:
    expected = FILE.encode(text).ids
    for _ in range(2):  # anew, and from what was kept
        assert OURS.encode(text) == expected


@given(st.text(st.one_of(st.characters(max_codepoint=127), st.sampled_from("“”‘’–—…†‰‽"))))
def test_english_is_cut_but_for_four_separators(text: str) -> None:
    """So that the test above holds more than the road around."""
    cut = pieces.Pieces(lambda piece: [len(piece)], {})
    if any("\x1c" <= letter <= "\x1f" for letter in text):
        assert cut.ids(text) is None
    else:
        assert sum(cut.ids(text) or []) == len(text)


def test_what_is_kept_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pieces, "MOST_PIECES", 8)
    asked: list[str] = []

    def encode(piece: str) -> list[int]:
        asked.append(piece)
        return [1]

    cut = pieces.Pieces(encode, {})
    text = " ".join(map(chr, range(97, 97 + 20)))
    assert cut.ids(text) == [1] * 20
    assert cut.ids("b") == [1]
    assert asked[-1] == "b"  # gone, and asked for again
