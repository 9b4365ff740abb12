"""Prompts that write their text only when rendered: each is a few numbers until then.

The random streams belong to the names given, so a text is the same in every process.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Final, NamedTuple

from msgspec import Struct

from benchsuite import streams
from benchsuite.request import Message, Rendered
from benchsuite.workloads.blocks import HashIds, unpacked
from benchsuite.workloads.tokenizer import Passage, Tokenizer

KEPT_BLOCKS: Final = 16_384  # texts, by hash id: some 50 MB of blocks of 512 tokens


class Piece(NamedTuple):
    """A stretch of text: pieces with the same stream begin alike, those of one length are equal."""

    stream: tuple[str | int, ...]
    num_tokens: int


class Pieces(Struct, frozen=True):
    """One user message made of stretches of real text."""

    tokenizer: Tokenizer
    seed: int
    pieces: tuple[Piece, ...]

    def render(self) -> Rendered:
        """Exactly as many tokens as the pieces together, as near as the tokenizer lets it be."""
        passages = [_passage(self.tokenizer, self.seed, piece) for piece in self.pieces]
        return _rendered(self.tokenizer, passages, sum(piece.num_tokens for piece in self.pieces))


class Blocks(Struct, frozen=True):
    """One user message with a stretch of real text for each hash id: equal ids, equal text."""

    tokenizer: Tokenizer
    seed: int
    scope: tuple[str | int, ...]  # within which an id means something
    hash_ids: HashIds
    block_tokens: int
    num_tokens: int  # of the whole; the last block may be shorter than the others
    tail: tuple[str | int, ...]  # stream of what stands behind the last block

    def render(self) -> Rendered:
        """As `Pieces`: one for each block, and one for what stands behind the last."""
        left = self.num_tokens
        passages: list[Passage] = []
        for hash_id in unpacked(self.hash_ids):
            piece = Piece((*self.scope, hash_id), min(left, self.block_tokens))
            passages.append(_block(self.tokenizer, self.seed, piece))
            left -= self.block_tokens
        if left > 0:
            passages.append(_passage(self.tokenizer, self.seed, Piece(self.tail, left)))
        return _rendered(self.tokenizer, passages, self.num_tokens)


def _passage(tokenizer: Tokenizer, seed: int, piece: Piece) -> Passage:
    return tokenizer.passage(piece.num_tokens, streams.rng(seed, *piece.stream))


@lru_cache(maxsize=KEPT_BLOCKS)
def _block(tokenizer: Tokenizer, seed: int, piece: Piece) -> Passage:
    """Turns of a conversation have nearly all of their blocks in common."""
    return _passage(tokenizer, seed, piece)


def _rendered(tokenizer: Tokenizer, passages: Sequence[Passage], num_tokens: int) -> Rendered:
    text, found = tokenizer.joined(passages, num_tokens)
    return Rendered((Message("user", text),), found)
