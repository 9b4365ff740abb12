"""The corpus in words, as one tokenizer sees it: how many tokens a word has, and whether words have
together what each has alone."""

from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from itertools import chain
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

FILL_CANDIDATES: Final = 2048
BLOCK_WORDS: Final = 512  # of the corpus, encoded together when one of them is first needed
FEW_WORDS: Final = 64  # encoded alone: not every short prompt will meet its block again

Encode = Callable[[Sequence[str]], list[list[int]]]


class WordTokens(Protocol):
    """What a tokenizer makes of words."""

    def inside(self, words: Sequence[str]) -> list[int]:
        """How many tokens each has within a text, where a space stands before it."""
        ...

    def at_start(self, words: Sequence[str]) -> list[int]:
        """How many tokens each has where it begins a text."""
        ...

    def add_up(self, words: Sequence[str], *, is_start: bool) -> bool:
        """Whether `words`, with spaces between them, have the tokens that each has after a space;
        behind another word, or at the start of a text, where the first must have as many."""
        ...

    @property
    def always_adds_up(self) -> bool:
        """Whether words behind another word do so, whichever they are: nobody need look."""
        ...


class Learned:
    """Of any tokenizer: found when a word is first needed, since most runs need a few of them."""

    always_adds_up = False

    def __init__(self, encode: Encode) -> None:
        self._encode = encode
        self._the = encode(["the"])[0]
        self._inside: dict[str, list[int]] = {}  # tokens of a word after a space
        self._at_start: dict[str, list[int]] = {}  # and of those that began a text

    def inside(self, words: Sequence[str]) -> list[int]:
        self._learn(words)
        return [len(self._inside[word]) for word in words]

    def at_start(self, words: Sequence[str]) -> list[int]:
        return list(map(len, self._encode(words)))

    def add_up(self, words: Sequence[str], *, is_start: bool) -> bool:
        self._learn(words)
        expected = list(chain.from_iterable(self._inside[word] for word in words))
        if not is_start:
            return self._encode([" ".join(["the", *words])])[0] == self._the + expected
        first = self._at_start.get(words[0])
        if first is None:
            first = self._at_start[words[0]] = self._encode([words[0]])[0]
        num_first = len(self._inside[words[0]])
        found = self._encode([" ".join(words)])[0]
        return len(first) == num_first and found == first + expected[num_first:]

    def _learn(self, words: Iterable[str]) -> None:
        """What stands after the tokens of "the" in "the word"; more than the word's own where the
        two together have others, which no check will then find again."""
        new = [word for word in words if word not in self._inside]
        if new:
            for word, tokens in zip(new, self._encode([f"the {w}" for w in new]), strict=True):
                self._inside[word] = tokens[len(self._the) :]


class Told:
    """Of a tokenizer whose counts of all words of the corpus are known, and which cuts a text
    before each single space before it looks for tokens, as byte-level BPE with GPT-2's expression
    does: no token reaches from one word into the next.
    """

    always_adds_up = True

    def __init__(self, words: Iterable[str], inside: bytes, at_start: bytes) -> None:
        """A byte for each of `words`."""
        self._inside = dict(zip(words, inside, strict=True))
        self._at_start = dict(zip(self._inside, at_start, strict=True))

    def inside(self, words: Sequence[str]) -> list[int]:
        return [self._inside[word] for word in words]

    def at_start(self, words: Sequence[str]) -> list[int]:
        return [self._at_start[word] for word in words]

    def add_up(self, words: Sequence[str], *, is_start: bool) -> bool:
        return not is_start or self._at_start[words[0]] == self._inside[words[0]]


class Corpus:
    """Words in their order, and `tokens` of them."""

    def __init__(self, text: str, tokens: Callable[[Sequence[str]], WordTokens]) -> None:
        """`tokens` is given the different words of `text`, as they come first."""
        words = text.split()
        self.num_words = len(words)
        self._text = " ".join(words)
        self._start = np.zeros(len(words) + 1, np.int64)
        np.cumsum(np.fromiter(map(len, words), np.int64, len(words)) + 1, out=self._start[1:])
        place: dict[str, int] = {}
        places = np.fromiter(map(place.setdefault, words, range(len(words))), np.int64, len(words))
        self._word = tuple(place)
        dense = np.empty(len(words), np.int64)
        dense[list(place.values())] = np.arange(len(place))
        self._id = dense[places]
        self.tokens = tokens(self._word)
        self._num_tokens = np.full(len(place), -1)  # of each word, within a text
        self._block_adds_up: dict[int, bool] = {}

    def words(self, first: int, num_tokens: int) -> tuple[str, int, int]:
        """(text, words, tokens) of the most words from `first` on that have `num_tokens` tokens
        together, up to the end of the corpus."""
        ids = self._id[first : first + num_tokens]
        total = np.cumsum(self._tokens_of(ids))
        num = int(np.searchsorted(total, num_tokens, side="right"))
        if num == 0:
            return "", 0, 0
        return self._between(first, first + num), num, int(total[num - 1])

    def ends(self, first: int, num: int) -> tuple[str, ...]:
        """The first and the last of `num` words."""
        return tuple(self._word[self._id[at]] for at in sorted({first, first + num - 1}))

    def adds_up(self, first: int, num: int) -> bool:
        """Whether words that follow each other have, together, the tokens that each has."""
        if self.tokens.always_adds_up:
            return True
        blocks = range(first // BLOCK_WORDS, (first + num - 1) // BLOCK_WORDS + 1)
        if num < FEW_WORDS and not all(block in self._block_adds_up for block in blocks):
            words = self._between(first, first + num).split(" ")
            return self.tokens.add_up(words, is_start=False)
        return all(self._check(block) for block in blocks)

    def _check(self, block: int) -> bool:
        """Of one block, and of its last word with the next block's first."""
        found = self._block_adds_up.get(block)
        if found is None:
            first = block * BLOCK_WORDS
            words = self._between(first, min(first + BLOCK_WORDS + 1, self.num_words)).split(" ")
            found = self._block_adds_up[block] = self.tokens.add_up(words, is_start=False)
        return found

    def _between(self, first: int, end: int) -> str:
        return self._text[self._start[first] : self._start[end] - 1]

    def _tokens_of(self, ids: NDArray[np.int64]) -> NDArray[np.int64]:
        """How many tokens each word has within a text, where a space stands before it."""
        found = self._num_tokens[ids]
        if found.min() < 0:
            new = sorted(set(ids[found < 0].tolist()))
            self._num_tokens[new] = self.tokens.inside([self._word[i] for i in new])
            found = self._num_tokens[ids]
        return found

    @cached_property
    def fill(self) -> tuple[tuple[str, ...], int]:
        """Different words of the fewest tokens (1, unless the tokenizer knows no such word), of as
        many at a text's start as within; and that number."""
        plain = [word for word in self._word if word.isalpha()][:FILL_CANDIDATES]
        inside = self.tokens.inside(plain)
        least = min(count for count in inside if count > 0)  # 0: one token with the word before
        short = [word for word, count in zip(plain, inside, strict=True) if count == least]
        alone = self.tokens.at_start(short)
        # A tokenizer with a token of its own for the space counts no word alike; lengths are then
        # one token short, and say so.
        alike = [word for word, count in zip(short, alone, strict=True) if count == least]
        return tuple(alike or short), least
