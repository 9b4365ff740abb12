"""Text of exactly n tokens, from real words, under any `tokenizer.json`.

Text is put together from whole words of a corpus with single spaces between them. Byte-level BPE,
WordPiece and Unigram tokenizers all start a new token at such a space, so token counts of words
add up, and of texts joined by a space too. The bundled tokenizer is known to do so, and its counts
are shipped. For any other nothing rests on that: each place where two words meet is encoded, those
of the corpus once in a process, those between two pieces of a text for each text. Where one of them
gives other tokens than the two words give, the whole text is encoded, and mended if it has to be.
The count that comes with a text is what was achieved.

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

import tokenizers
from numpy.random import Generator

from benchsuite import streams
from benchsuite.errors import ScenarioError
from benchsuite.workloads.corpus import Corpus, Learned, Told, WordTokens

OPENING_WORDS: Final = 4
MOST_MENDINGS: Final = 4
_CORPUS: Final = "corpus.txt.gz"
_BUNDLED: Final = "tokenizer.json.gz"
_COUNTS: Final = "corpus_tokens.gz"
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


class Tokenizer:
    """One tokenizer and the corpus cut up by it. Make it with `load`."""

    def __init__(
        self, name: str, raw: tokenizers.Tokenizer, corpus_tokens: bytes | None = None
    ) -> None:
        """`corpus_tokens`: what scripts/count_corpus.py counts; None: nobody did."""
        self.name, self._corpus_tokens = name, corpus_tokens
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
            if ends and is_known and self._corpus.tokens.add_up(ends, is_start=True):
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
        fill, unit = corpus.fill
        pick = rng.integers(len(fill), size=OPENING_WORDS)
        place = int(rng.integers(corpus.num_words))
        parts = [fill[i] for i in pick[: num_tokens // unit]]
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
        last = [fill[i] for i in rng.integers(len(fill), size=left // unit)]
        words = " ".join(parts + last)
        return Passage(words, num_tokens - left % unit, tuple(ends + last), is_known)

    def fit(self, text: str, num_tokens: int) -> Text:
        """`text`, its end mended until it has `num_tokens` tokens, as near as this can be had."""
        fill, unit = self._corpus.fill
        got = self.count(text)
        for _ in range(MOST_MENDINGS):
            missing = num_tokens - got
            if missing < 0:
                text = text.rsplit(" ", -missing)[0]
            elif missing >= unit:
                words = (fill[i % len(fill)] for i in range(missing // unit))
                text = " ".join([text, *words])
            else:
                break
            got = self.count(text)
        return Text(text, got)

    @cached_property
    def _corpus(self) -> Corpus:
        return Corpus(_bundled(_CORPUS).decode(), self._words)

    def _words(self, words: Sequence[str]) -> WordTokens:
        told = self._corpus_tokens
        if told is None:
            return Learned(self._encode_all)
        return Told(words, told[: len(words)], told[len(words) :])


@cache
def load(spec: str) -> Tokenizer:
    """`bundled`; a tokenizer.json (or .gz), or the folder that holds one; or a hub id.

    Files win over the hub: a path that exists is never looked up. Raises ScenarioError.
    """
    if spec == "bundled":
        raw = tokenizers.Tokenizer.from_str(_bundled(_BUNDLED).decode())
        return Tokenizer(spec, raw, _bundled(_COUNTS))
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
