"""Prompts that write their text only when rendered: each is a few numbers until then.

The random streams belong to the names given, so a text is the same in every process.
"""

from typing import NamedTuple

from msgspec import Struct

from benchsuite import streams
from benchsuite.request import Message, Rendered
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
