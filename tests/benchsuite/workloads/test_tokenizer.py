"""Exact text under any tokenizer; the bundled one."""

import gzip
import json
import runpy
import subprocess
import sys
from importlib import resources

import pytest
import tokenizers
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import decoders, models, normalizers, pre_tokenizers, trainers

from benchsuite.errors import ScenarioError
from benchsuite.streams import rng
from benchsuite.workloads import tokenizer as module
from benchsuite.workloads.tokenizer import Tokenizer, load

BUNDLED = load("bundled")
DATA = resources.files("benchsuite") / "data"
SENTENCES = ["the cat sat on the mat and I saw a dog by the old oak tree near our house"] * 3


def word_piece() -> tokenizers.Tokenizer:
    raw = tokenizers.Tokenizer(models.WordPiece(unk_token="[UNK]"))
    raw.normalizer = normalizers.Lowercase()
    raw.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    letters = "abcdefghijklmnopqrstuvwxyz0123456789.,;:!?'\"()-$"
    trainer = trainers.WordPieceTrainer(
        vocab_size=150, special_tokens=["[UNK]"], initial_alphabet=list(letters)
    )
    raw.train_from_iterator(SENTENCES, trainer)
    return raw


def sentence_piece() -> tokenizers.Tokenizer:
    """Llama-2 style: no pre-tokenizer; spaces become a letter of their own, one more in front."""
    raw = tokenizers.Tokenizer(models.BPE(unk_token="<unk>"))
    raw.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    trainer = trainers.BpeTrainer(vocab_size=120, special_tokens=["<unk>"])
    raw.train_from_iterator([word for text in SENTENCES for word in text.split()], trainer)
    return raw


def bytes_only() -> tokenizers.Tokenizer:
    """Every byte a token, the space too: no word counts alike at a text's start and within."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    raw = tokenizers.Tokenizer(models.BPE({c: i for i, c in enumerate(alphabet)}, []))
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    return raw


def across_spaces() -> tokenizers.Tokenizer:
    """No pre-tokenizer: "sat on the" may be one token, so words' tokens do not add up."""
    raw = tokenizers.Tokenizer(models.BPE(unk_token="<unk>"))
    letters = sorted(set(BUNDLED.text(5000, rng(1)).text))
    trainer = trainers.BpeTrainer(
        vocab_size=300, special_tokens=["<unk>"], initial_alphabet=letters, show_progress=False
    )
    raw.train_from_iterator([BUNDLED.text(5000, rng(1)).text], trainer)
    return raw


LEARNED = Tokenizer("learned", BUNDLED._raw)  # the bundled one, as if nobody had counted for it
FAMILIES = {
    "bundled": BUNDLED,
    "learned": LEARNED,
    "word_piece": Tokenizer("word_piece", word_piece()),
    "sentence_piece": Tokenizer("sentence_piece", sentence_piece()),
}


@pytest.mark.parametrize("family", FAMILIES)
def test_text_has_exactly_the_tokens_asked(family):
    """Text of n tokens has n tokens when it is encoded again, for BPE, WordPiece, SentencePiece."""
    tokenizer = FAMILIES[family]
    for i, num_tokens in enumerate([1, 2, 3, 4, 5, 7, 64, 100, 511, 512, 1000]):
        text, achieved = tokenizer.text(num_tokens, rng(1, i))
        assert achieved == num_tokens
        assert len(tokenizer.encode(text)) == num_tokens
        assert text == text.strip()


@given(parts=st.lists(st.integers(1, 600), min_size=1, max_size=6), seed=st.integers(0, 2**32))
def test_tokens_of_texts_joined_by_a_space_add_up(parts, seed):
    """So prefixes and hash blocks keep their exact lengths inside a longer prompt."""
    texts = [BUNDLED.text(n, rng(seed, i)).text for i, n in enumerate(parts)]
    assert BUNDLED.count(" ".join(texts)) == sum(parts)


def test_text_longer_than_the_corpus_starts_it_again():
    """Any length can be had; the corpus comes round."""
    assert BUNDLED.text(300_000, rng(1)).num_tokens == 300_000


def test_words_that_do_not_add_up_are_seen():
    """Where tokens reach across spaces, a text is encoded as a whole and counted."""
    tokenizer = Tokenizer("across_spaces", across_spaces())
    for i, num_tokens in enumerate([1, 3, 20, 100, 500]):
        passage = tokenizer.passage(num_tokens, rng(1, i))
        text, achieved = tokenizer.text(num_tokens, rng(1, i))
        assert achieved == len(tokenizer.encode(text))
        assert abs(achieved - num_tokens) <= 2
        assert num_tokens < 20 or not passage.is_known
    assert tokenizer.count(passage.text) != passage.num_tokens


@pytest.mark.parametrize("family", FAMILIES)
def test_what_is_known_is_not_encoded_again(family, monkeypatch):
    """A text whose words add up is never encoded as a whole, and yet has the tokens it says."""
    tokenizer = FAMILIES[family]
    monkeypatch.setattr(Tokenizer, "fit", None)
    passages = [tokenizer.passage(n, rng(5, n)) for n in (40, 16, 700)]
    assert all(passage.is_known for passage in passages)
    text, achieved = tokenizer.joined(passages, 756)
    assert achieved == len(tokenizer.encode(text)) == 756
    assert text == " ".join(passage.text for passage in passages)


def test_a_length_that_cannot_be_had_is_reported_as_it_is():
    """A byte tokenizer cannot always hit n; what it got is what it says, one token off at most."""
    tokenizer = Tokenizer("bytes", bytes_only())
    for num_tokens in (1, 50, 51, 200):
        text, achieved = tokenizer.text(num_tokens, rng(1, num_tokens))
        assert achieved == len(text.encode())
        assert abs(achieved - num_tokens) <= 1


def test_text_that_misses_its_length_is_mended():
    """`fit` drops or adds words at the end until the count is right."""
    long, short = BUNDLED.text(40, rng(1)).text, BUNDLED.text(20, rng(2)).text
    for text in (long, short):
        fitted = BUNDLED.fit(text, 30)
        assert fitted.num_tokens == BUNDLED.count(fitted.text) == 30


def test_texts_differ_and_begin_differently():
    """Ten thousand prompts share no opening, so no prefix cache is flattered by chance."""
    openings = {BUNDLED.passage(12, rng(1, "prompt", i)).text for i in range(10_000)}
    assert len(openings) == 10_000


def test_a_longer_text_begins_like_a_shorter_one_of_the_same_stream():
    """Turns of one session share their prefix, but for the words that fill up the length."""
    short, long = (BUNDLED.passage(n, rng(1, "session")).text.split() for n in (100, 200))
    assert short[:80] == long[:80]


def test_text_is_the_same_in_another_process():
    """Text depends on the seed alone, not on the process or its hash seed."""
    program = (
        "from benchsuite.workloads.tokenizer import load; from benchsuite.streams import rng;"
        "print(load('bundled').text(50, rng(3, 'block', 7)).text)"
    )
    found = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        check=True,
        env={"PYTHONHASHSEED": "123", "PYTHONPATH": ":".join(sys.path)},
    )
    assert found.stdout.decode().strip() == BUNDLED.text(50, rng(3, "block", 7)).text


@given(st.text())
def test_the_bundled_tokenizer_keeps_any_text(text):
    """Byte-level: decode(encode(text)) == text for all of Unicode."""
    assert BUNDLED.decode(BUNDLED.encode(text)) == text


def test_what_is_told_of_the_corpus_is_what_would_be_learned():
    """The shipped counts are of these words and this tokenizer, and give the same texts."""
    counts = runpy.run_path("scripts/count_corpus.py")["counts"]()
    assert gzip.decompress((DATA / "corpus_tokens.gz").read_bytes()) == counts
    for i, num_tokens in enumerate([1, 3, 16, 200, 2000]):
        told, learned = (one.passage(num_tokens, rng(2, i)) for one in (BUNDLED, LEARNED))
        assert told == learned
        assert BUNDLED.joined((told, told), 2 * num_tokens) == LEARNED.joined(
            (learned, learned), 2 * num_tokens
        )


def test_the_bundled_tokenizer_cuts_before_each_space():
    """So whatever stands together, the corpus as a whole or words that never met, adds up."""
    words = gzip.decompress((DATA / "corpus.txt.gz").read_bytes()).decode().split()
    told = BUNDLED._words(tuple(dict.fromkeys(words)))
    for order in (words, words[:40_000:-1]):
        after_the = BUNDLED.count(" ".join(["the", *order])) - BUNDLED.count("the")
        assert after_the == sum(told.inside(order))


def test_the_bundled_tokenizer_is_what_it_says():
    """8,192 entries with the three chat marks as single tokens."""
    assert BUNDLED.vocab_size == 8192
    assert [BUNDLED.count(s) for s in ("<|endoftext|>", "<|im_start|>", "<|im_end|>")] == [1, 1, 1]


def test_a_tokenizer_is_loaded_from_a_file_a_gzipped_file_or_a_folder(tmp_path):
    """All three are the same tokenizer; padding and truncation left in the file are ignored."""
    raw = word_piece()
    raw.enable_truncation(4)
    raw.enable_padding(length=9)
    plain, packed = tmp_path / "tokenizer.json", tmp_path / "t.json.gz"
    plain.write_text(raw.to_str())
    packed.write_bytes(gzip.compress(raw.to_str().encode()))
    text = "the cat sat on the mat and I saw a dog"
    counts = [load(str(path)).count(text) for path in (plain, packed, tmp_path)]
    assert counts == [FAMILIES["word_piece"].count(text)] * 3
    assert counts[0] > 9


def test_a_tokenizer_that_cannot_be_had_says_so(tmp_path, monkeypatch):
    """A missing file, a file that is none, an unknown name: each names the file and the reason."""
    broken = tmp_path / "broken.json"
    broken.write_text(json.dumps({"model": "none"}))
    monkeypatch.setattr(module, "_hub", unreachable)  # which the library asks for half a minute
    for spec, reason in [
        (str(tmp_path / "missing.json"), "cannot be read"),
        (str(tmp_path), "cannot be read"),
        (str(broken), "not a tokenizer.json"),
        ("nobody/no-such-tokenizer", "hub did not give it"),
    ]:
        with pytest.raises(ScenarioError, match=reason):
            load(spec)


def unreachable(name: str) -> tokenizers.Tokenizer:
    raise OSError(f"{name}: no network")
