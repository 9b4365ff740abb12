"""Prompts that write their text only when rendered: each is a few numbers until then.

The random streams belong to the names given, so a text is the same in every process.
"""

from typing import NamedTuple

from msgspec import Struct

from benchsuite import streams
from benchsuite.request import Message, Rendered
from benchsuite.workloads.blocks import HashIds, unpacked
from benchsuite.workloads.tokenizer import Tokenizer


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
        passages = [
            self.tokenizer.passage(piece.num_tokens, streams.rng(self.seed, *piece.stream))
            for piece in self.pieces
        ]
        asked = sum(piece.num_tokens for piece in self.pieces)
        text, num_tokens = self.tokenizer.joined(passages, asked)
        return Rendered((Message("user", text),), num_tokens)


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
        left = self.num_tokens
        pieces: list[Piece] = []
        for hash_id in unpacked(self.hash_ids):
            pieces.append(Piece((*self.scope, hash_id), min(left, self.block_tokens)))
            left -= self.block_tokens
        if left > 0:
            pieces.append(Piece(self.tail, left))
        return Pieces(self.tokenizer, self.seed, tuple(pieces)).render()
