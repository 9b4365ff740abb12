"""Texts to ids piece by piece, where a tokenizer cuts them as GPT-2's does: a piece that was seen
before need not be merged again. Ten times as fast on prose as encoding a text as a whole.
"""

import re
from collections.abc import Callable, Mapping
from itertools import chain
from typing import Final

from msgspec import Struct

MOST_PIECES: Final = 1 << 17  # that are kept; then it begins anew
_LONGEST: Final = 64  # letters of a piece that is kept
_LONGEST_TEXT: Final = 1 << 16  # letters; Python's lock is held meanwhile, so no more than 3 ms

# GPT-2's pattern (Radford et al. 2019, encoder.py) as it is where all letters, digits and spaces
# are ASCII.
_PIECE: Final = re.compile(
    r"'s|'t|'re|'ve|'m|'ll|'d| ?[A-Za-z]+| ?[0-9]+| ?[^\sA-Za-z0-9]+|\s+(?!\S)|\s+"
)
_NOT_SPACE_ALIKE: Final = re.compile("[\x1c-\x1f]")  # white space to Python alone
# What else than ASCII may be there: dashes, quotes and other marks, of U+2010 to U+205E.
_NOT_PLAIN: Final = re.compile("[^\x00-\x7f\u2010-\u2027\u2030-\u205e]")


class _Part(Struct, frozen=True):
    type: str = ""
    add_prefix_space: bool = True
    use_regex: bool = True
    dropout: float | None = None


class TokenizerParts(Struct, frozen=True):
    """What a tokenizer.json says of how it cuts."""

    model: _Part
    pre_tokenizer: _Part | None = None
    normalizer: _Part | None = None

    @property
    def cuts_as_gpt2(self) -> bool:
        cut = self.pre_tokenizer
        return (
            self.normalizer is None
            and cut is not None
            and (cut.type, cut.add_prefix_space, cut.use_regex) == ("ByteLevel", False, True)
            and (self.model.type, self.model.dropout) == ("BPE", None)
        )


class _Known(dict[str, list[int]]):
    """Ids of pieces, encoded where they are not known."""

    def __init__(self, encode: Callable[[str], list[int]]) -> None:
        self._encode = encode

    def __missing__(self, piece: str) -> list[int]:
        ids = self._encode(piece)
        if len(self) >= MOST_PIECES:
            self.clear()
        if len(piece) <= _LONGEST:
            self[piece] = ids
        return ids


class Pieces:
    """Ids of English texts, from those of their pieces. `encode` gives the ids of one piece, with
    nothing around; `added` are tokens that are cut out of a text first, wherever they stand."""

    def __init__(self, encode: Callable[[str], list[int]], added: Mapping[str, int]) -> None:
        self._added = added
        longest_first = sorted(filter(None, added), key=len, reverse=True)
        self._cut = re.compile(f"({'|'.join(map(re.escape, longest_first))})") if added else None
        self._ids = _Known(encode)

    def ids(self, text: str) -> list[int] | None:
        """None where the text has to be encoded as a whole."""
        if len(text) > _LONGEST_TEXT or _NOT_SPACE_ALIKE.search(text):
            return None
        if not text.isascii() and _NOT_PLAIN.search(text):
            return None
        found: list[int] = []
        for part in [text] if self._cut is None else self._cut.split(text):
            if part in self._added:
                found.append(self._added[part])
            else:
                found += chain.from_iterable(map(self._ids.__getitem__, _PIECE.findall(part)))
        return found
