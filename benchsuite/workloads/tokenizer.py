"""Text of exactly n tokens, from real words, under any `tokenizer.json`.

Text is put together from whole words of a corpus with single spaces between them. Byte-level BPE,
WordPiece and Unigram tokenizers all start a new token at such a space, so token counts of words
add up, and of texts joined by a space too. Nothing rests on that: each place where two words meet
is encoded, those of the corpus once in a process, those between two pieces of a text for each text.
Where one of them gives other tokens than the two words give, the whole text is encoded, and mended
if it has to be. The count that comes with a text is what was achieved.

That looking at each meeting of two words is enough: BPE joins the pair of symbols of lowest rank,
anywhere. If it joined two across a space in the text, then before the first such join each word
looked as it did in the encoding that was checked, where that pair stood beside each other too and
was not joined. Unigram takes the best of all ways to cut a text; where the best way through a text
cuts at a space, so does the best way through any part of it around that space.
"""

import copy
import gzip
import importlib.resources
from collections.abc import Callable, Sequence
from functools import cache, cached_property
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import tokenizers
from numpy.random import Generator
from numpy.typing import NDArray

from benchsuite import streams
from benchsuite.errors import ScenarioError

OPENING_WORDS: Final = 4
FILL_CANDIDATES: Final = 2048
MOST_MENDINGS: Final = 4
BLOCK_WORDS: Final = 512  # of the corpus, encoded together when one of them is first needed
FEW_WORDS: Final = 64  # encoded alone: not every short prompt will meet its block again
_CORPUS: Final = "corpus.txt.gz"
_BUNDLED: Final = "tokenizer.json.gz"
_hub: Callable[[str], tokenizers.Tokenizer] = tokenizers.Tokenizer.from_pretrained


class Text(NamedTuple):
    text: str
    num_tokens: int  # by encoding it


class Passage(NamedTuple):
    """A stretch of text that nobody has encoded as a whole."""

    text: str
    num_tokens: int  # the sum of its words'
    ends: tuple[str, ...]  # its words, of a piece of the corpus the first and the last alone
    is_known: bool  # the pieces of the corpus in it were encoded, and their words' tokens add up


class _Corpus:
    """The corpus in words, as one tokenizer sees it. A word's tokens are found when it is first
    needed, and so is whether those of a block of words add up: most runs need a few of them."""

    def __init__(
        self, words: list[str], encode: Callable[[Sequence[str]], list[list[int]]]
    ) -> None:
        self._encode = encode
        self._text = " ".join(words)
        self._start = np.cumsum([0, *(len(word) + 1 for word in words)])
        ids: dict[str, int] = {}
        self._id = np.array([ids.setdefault(word, len(ids)) for word in words])
        self._word = tuple(ids)
        self._tokens = np.full(len(ids), -1)
        self._the = encode(["the"])[0]
        self._inside: dict[str, list[int]] = {}  # tokens of a word after a space
        self._at_start: dict[str, list[int]] = {}  # and of those that began a text
        self._block_adds_up: dict[int, bool] = {}
        self.num_words = len(words)
        self.fill, self.fill_tokens = self._find_fill()

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
        blocks = range(first // BLOCK_WORDS, (first + num - 1) // BLOCK_WORDS + 1)
        if num < FEW_WORDS and not all(block in self._block_adds_up for block in blocks):
            return self.is_as_sum(self._between(first, first + num).split(" "), is_start=False)
        return all(self._check(block) for block in blocks)

    def is_as_sum(self, words: Sequence[str], *, is_start: bool) -> bool:
        """Whether `words`, with spaces between them, have the tokens that each has after a space;
        behind another word, or at the start of a text, where the first must have as many."""
        if not all(word in self._inside for word in words):
            self._learn([word for word in words if word not in self._inside])
        expected = [token for word in words for token in self._inside[word]]
        if not is_start:
            return self._encode([" ".join(["the", *words])])[0] == self._the + expected
        first = self._at_start.get(words[0])
        if first is None:
            first = self._at_start[words[0]] = self._encode([words[0]])[0]
        num_first = len(self._inside[words[0]])
        found = self._encode([" ".join(words)])[0]
        return len(first) == num_first and found == first + expected[num_first:]

    def _check(self, block: int) -> bool:
        """Of one block, and of its last word with the next block's first."""
        found = self._block_adds_up.get(block)
        if found is None:
            first = block * BLOCK_WORDS
            words = self._between(first, min(first + BLOCK_WORDS + 1, self.num_words)).split(" ")
            found = self._block_adds_up[block] = self.is_as_sum(words, is_start=False)
        return found

    def _between(self, first: int, end: int) -> str:
        return self._text[self._start[first] : self._start[end] - 1]

    def _tokens_of(self, ids: NDArray[np.int64]) -> NDArray[np.int64]:
        """How many tokens each word has within a text, where a space stands before it."""
        is_new = self._tokens[ids] < 0
        if is_new.any():
            new = sorted(set(ids[is_new].tolist()))
            words = [self._word[i] for i in new]
            self._learn([word for word in words if word not in self._inside])
            self._tokens[new] = [len(self._inside[word]) for word in words]
        return self._tokens[ids]

    def _learn(self, words: list[str]) -> None:
        """What stands after the tokens of "the" in "the word"; more than the word's own where the
        two together have others, which no check will then find again."""
        for word, tokens in zip(words, self._encode([f"the {w}" for w in words]), strict=True):
            self._inside[word] = tokens[len(self._the) :]

    def _find_fill(self) -> tuple[tuple[str, ...], int]:
        """Different words of the fewest tokens (1, unless the tokenizer knows no such word), of as
        many at a text's start as within; and that number."""
        plain = [i for i, word in enumerate(self._word) if word.isalpha()][:FILL_CANDIDATES]
        inside = self._tokens_of(np.array(plain))
        least = inside[inside > 0].min()  # 0: one token with the word before
        short = [self._word[i] for i, count in zip(plain, inside, strict=True) if count == least]
        alone = map(len, self._encode(short))
        # A tokenizer with a token of its own for the space counts no word alike; lengths are then
        # one token short, and say so.
        alike = [word for word, count in zip(short, alone, strict=True) if count == least]
        return tuple(alike or short), int(least)


class Tokenizer:
    """One tokenizer and the corpus cut up by it. Make it with `load`."""

    def __init__(self, name: str, raw: tokenizers.Tokenizer) -> None:
        self.name = name
        raw.no_truncation()
        raw.no_padding()
        self._raw = raw
        self._salt: str | None = None

    def salted(self, salt: str | None) -> "Tokenizer":
        """The same tokenizer, whose texts are those of `salt`: equal for equal salts, and all
        others for another. None: the texts of the seed alone."""
        if salt == self._salt:
            return self
        other = copy.copy(self)
        other._salt = salt
        return other

    @property
    def vocab_size(self) -> int:
        """Entries, special tokens among them."""
        return int(self._raw.get_vocab_size(with_added_tokens=True))

    def count(self, text: str) -> int:
        """Tokens of `text`, without those that a model puts around it (begin, end, template)."""
        return self.counts([text])[0]

    def counts(self, texts: Sequence[str]) -> list[int]:
        encodings = self._raw.encode_batch_fast(list(texts), add_special_tokens=False)
        return [len(encoding) for encoding in encodings]

    def _encode_all(self, texts: Sequence[str]) -> list[list[int]]:
        if len(texts) == 1:  # without the offsets of tokens, which long texts have many of
            return [self._raw.encode_batch_fast(list(texts), add_special_tokens=False)[0].ids]
        # Several are words: waking a thread on each core for them costs more than encoding them.
        return [self._raw.encode(text, add_special_tokens=False).ids for text in texts]

    def encode(self, text: str) -> list[int]:
        return list(self._raw.encode(text, add_special_tokens=False).ids)

    def decode(self, ids: Sequence[int]) -> str:
        return str(self._raw.decode(list(ids), skip_special_tokens=False))

    def text(self, num_tokens: int, rng: Generator) -> Text:
        """Real text of exactly `num_tokens` tokens (what was achieved stands in the answer)."""
        return self.joined((self.passage(num_tokens, rng),), num_tokens)

    def joined(self, passages: Sequence[Passage], num_tokens: int) -> Text:
        """Passages with spaces between them, mended where they have not `num_tokens` tokens."""
        text = " ".join(passage.text for passage in passages)
        if sum(passage.num_tokens for passage in passages) == num_tokens:
            ends = [word for passage in passages for word in passage.ends]
            is_known = all(passage.is_known for passage in passages)
            if ends and is_known and self._corpus.is_as_sum(ends, is_start=True):
                return Text(text, num_tokens)
        return self.fit(text, num_tokens)

    def passage(self, num_tokens: int, rng: Generator) -> Passage:
        """Words whose token counts add up to `num_tokens`.

        A few words drawn at random, so that no two passages begin alike; then the corpus from a
        place drawn at random; then single words up to the length. For a generator in the same
        state a longer passage begins like a shorter one, but for those last words. Never empty.
        A salted tokenizer puts other words in their place.
        """
        if self._salt is not None:
            rng = streams.rng(0, "salt", self._salt, int(rng.integers(2**63)))
        corpus = self._corpus
        unit = corpus.fill_tokens
        pick = rng.integers(len(corpus.fill), size=OPENING_WORDS)
        place = int(rng.integers(corpus.num_words))
        parts = [corpus.fill[i] for i in pick[: num_tokens // unit]]
        left = num_tokens - unit * len(parts)
        ends, is_known = list(parts), True
        while left > 0:
            text, num_words, tokens = corpus.words(place, left)
            if num_words == 0:  # not even the next word fits
                break
            parts.append(text)
            ends += corpus.ends(place, num_words)
            is_known = is_known and corpus.adds_up(place, num_words)
            left -= tokens
            place = (place + num_words) % corpus.num_words
        last = [corpus.fill[i] for i in rng.integers(len(corpus.fill), size=left // unit)]
        words = " ".join(parts + last)
        return Passage(words, num_tokens - left % unit, tuple(ends + last), is_known)

    def fit(self, text: str, num_tokens: int) -> Text:
        """`text`, its end mended until it has `num_tokens` tokens, as near as this can be had."""
        corpus = self._corpus
        got = self.count(text)
        for _ in range(MOST_MENDINGS):
            missing = num_tokens - got
            if missing < 0:
                text = text.rsplit(" ", -missing)[0]
            elif missing >= corpus.fill_tokens:
                words = missing // corpus.fill_tokens
                text = " ".join([text, *(corpus.fill[i % len(corpus.fill)] for i in range(words))])
            else:
                break
            got = self.count(text)
        return Text(text, got)

    @cached_property
    def _corpus(self) -> _Corpus:
        return _Corpus(_bundled(_CORPUS).decode().split(), self._encode_all)


@cache
def load(spec: str) -> Tokenizer:
    """`bundled`; a tokenizer.json (or .gz), or the folder that holds one; or a hub id.

    Files win over the hub: a path that exists is never looked up. Raises ScenarioError.
    """
    if spec == "bundled":
        return Tokenizer(spec, tokenizers.Tokenizer.from_str(_bundled(_BUNDLED).decode()))
    path = Path(spec)
    if path.is_dir():
        found = [path / name for name in ("tokenizer.json", "tokenizer.json.gz")]
        path = next((file for file in found if file.is_file()), found[0])
    if path.exists() or path.suffix in (".json", ".gz"):
        return Tokenizer(spec, _read(path))
    return Tokenizer(spec, _from_hub(spec))


def _bundled(name: str) -> bytes:
    file = importlib.resources.files("benchsuite") / "data" / name
    return gzip.decompress(file.read_bytes())


def _read(path: Path) -> tokenizers.Tokenizer:
    try:
        raw = path.read_bytes()
        raw = gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw
    except OSError as error:
        raise ScenarioError(f"tokenizer {path}: cannot be read: {error.strerror}") from error
    try:
        return tokenizers.Tokenizer.from_buffer(raw)
    except Exception as error:  # the library raises nothing narrower
        raise ScenarioError(f"tokenizer {path}: not a tokenizer.json: {error}") from error


def _from_hub(name: str) -> tokenizers.Tokenizer:
    try:
        return _hub(name)
    except Exception as error:  # the library raises nothing narrower
        reason = " ".join(str(error).split())[:200]
        raise ScenarioError(
            f"tokenizer {name}: no such file, and the Hugging Face hub did not give it ({reason}); "
            "name 'bundled', a tokenizer.json, the folder that holds one, or a hub id"
        ) from error
