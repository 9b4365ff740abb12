"""Text of exactly n tokens, from real words, under any `tokenizer.json`.

Text is put together from whole words of a corpus with single spaces between them. Byte-level BPE,
WordPiece and Unigram tokenizers all start a new token at such a space, so token counts of words
add up, and of texts joined by a space too. Nothing rests on that: every text is encoded once more
before it is used, mended if it has to be, and the count that comes with it is what was achieved.
"""

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

from benchsuite.errors import ScenarioError

OPENING_WORDS: Final = 4
FILL_CANDIDATES: Final = 2048
MOST_MENDINGS: Final = 4
_CORPUS: Final = "corpus.txt.gz"
_BUNDLED: Final = "tokenizer.json.gz"


class Text(NamedTuple):
    text: str
    num_tokens: int  # by encoding it


class _Corpus:
    """The corpus in words, as one tokenizer sees it. A word's tokens are counted when it is first
    needed: most runs need a few of the words."""

    def __init__(self, words: list[str], counts: Callable[[Sequence[str]], list[int]]) -> None:
        self._counts = counts
        self._text = " ".join(words)
        self._start = np.cumsum([0, *(len(word) + 1 for word in words)])
        ids: dict[str, int] = {}
        self._id = np.array([ids.setdefault(word, len(ids)) for word in words])
        self._word = tuple(ids)
        self._tokens = np.full(len(ids), -1)
        self._the = counts(["the"])[0]
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
        text = self._text[self._start[first] : self._start[first + num] - 1]
        return text, num, int(total[num - 1])

    def _tokens_of(self, ids: NDArray[np.int64]) -> NDArray[np.int64]:
        """Tokens of each word within a text, where a space stands before it."""
        new = np.unique(ids[self._tokens[ids] < 0])
        if len(new):
            inside = self._counts([f"the {self._word[i]}" for i in new])
            self._tokens[new] = np.array(inside) - self._the
        return self._tokens[ids]

    def _find_fill(self) -> tuple[tuple[str, ...], int]:
        """Different words of the fewest tokens (1, unless the tokenizer knows no such word), of as
        many at a text's start as within; and that number."""
        plain = [i for i, word in enumerate(self._word) if word.isalpha()][:FILL_CANDIDATES]
        inside = self._tokens_of(np.array(plain))
        short = [
            self._word[i] for i, count in zip(plain, inside, strict=True) if count == inside.min()
        ]
        alone = self._counts(short)
        # A tokenizer with a token of its own for the space counts no word alike; lengths are then
        # one token short, and say so.
        alike = [word for word, count in zip(short, alone, strict=True) if count == inside.min()]
        return tuple(alike or short), int(inside.min())


class Tokenizer:
    """One tokenizer and the corpus cut up by it. Make it with `load`."""

    def __init__(self, name: str, raw: tokenizers.Tokenizer) -> None:
        self.name = name
        raw.no_truncation()
        raw.no_padding()
        self._raw = raw

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

    def encode(self, text: str) -> list[int]:
        return list(self._raw.encode(text, add_special_tokens=False).ids)

    def decode(self, ids: Sequence[int]) -> str:
        return str(self._raw.decode(list(ids), skip_special_tokens=False))

    def text(self, num_tokens: int, rng: Generator) -> Text:
        """Real text of exactly `num_tokens` tokens (what was achieved stands in the answer)."""
        return self.fit(self.passage(num_tokens, rng), num_tokens)

    def passage(self, num_tokens: int, rng: Generator) -> str:
        """Words whose token counts add up to `num_tokens`, not yet checked by encoding them.

        A few words drawn at random, so that no two passages begin alike; then the corpus from a
        place drawn at random; then single words up to the length. For a generator in the same
        state a longer passage begins like a shorter one, but for those last words. Never empty.
        """
        corpus = self._corpus
        unit = corpus.fill_tokens
        pick = rng.integers(len(corpus.fill), size=OPENING_WORDS)
        place = int(rng.integers(corpus.num_words))
        parts = [corpus.fill[i] for i in pick[: num_tokens // unit]]
        left = num_tokens - unit * len(parts)
        while left > 0:
            text, num_words, tokens = corpus.words(place, left)
            if num_words == 0:  # not even the next word fits
                break
            parts.append(text)
            left -= tokens
            place = (place + num_words) % corpus.num_words
        parts += [corpus.fill[i] for i in rng.integers(len(corpus.fill), size=left // unit)]
        return " ".join(parts)

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
        return _Corpus(_bundled(_CORPUS).decode().split(), self.counts)


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
        return tokenizers.Tokenizer.from_pretrained(name)
    except Exception as error:  # the library raises nothing narrower
        reason = " ".join(str(error).split())[:200]
        raise ScenarioError(
            f"tokenizer {name}: no such file, and the Hugging Face hub did not give it ({reason}); "
            "name 'bundled', a tokenizer.json, the folder that holds one, or a hub id"
        ) from error
