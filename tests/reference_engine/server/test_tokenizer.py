"""Tokenizers: whole text from any cuts, files with what lies beside them, chat templates."""

import gzip
import json
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer as TokenizerFile
from tokenizers import decoders, models, normalizers, pre_tokenizers, trainers

from reference_engine.config import EngineConfig
from reference_engine.server.chat_template import (
    ChatMessage,
    ChatPrompt,
    ChatTemplate,
    ChatTemplateError,
)
from reference_engine.server.tokenizer import (
    ByteTokenizer,
    Detokenizer,
    FileTokenizer,
    Tokenizer,
    open_tokenizer,
)
from reference_engine.specs import ConfigError

SPECIAL = ["<s>", "<|im_start|>", "<|im_end|>"]
HELLO = ChatPrompt([ChatMessage("user", "hello")])


def byte_level_file() -> TokenizerFile:
    """A small GPT-2-like tokenizer."""
    file = TokenizerFile(models.BPE())
    file.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    file.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=320,
        special_tokens=SPECIAL,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    file.train_from_iterator(["the quick brown fox the quick 你好 🙂 fox"] * 3, trainer)
    return file


def byte_fallback_file() -> TokenizerFile:
    """A small Llama-2-like tokenizer: words, and bytes for what it does not know."""
    byte_tokens = [f"<0x{value:02X}>" for value in range(256)]
    words = ["▁the", "▁fox", "▁", *"thefox"]
    vocabulary = {token: i for i, token in enumerate(dict.fromkeys([*byte_tokens, *words]))}
    merges = [("▁", "t"), ("▁t", "h"), ("▁th", "e")]
    vocabulary |= {token: len(vocabulary) + i for i, token in enumerate(["▁t", "▁th"])}
    file = TokenizerFile(models.BPE(vocabulary, merges, byte_fallback=True, fuse_unk=True))
    file.normalizer = normalizers.Sequence(
        [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    )
    file.decoder = decoders.Sequence(
        [
            decoders.Replace("▁", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )
    return file


def saved(file: TokenizerFile, folder: Path) -> FileTokenizer:
    file.save(str(folder / "tokenizer.json"))
    return FileTokenizer(folder / "tokenizer.json")


@pytest.fixture(scope="module")
def byte_level(tmp_path_factory: pytest.TempPathFactory) -> FileTokenizer:
    return saved(byte_level_file(), tmp_path_factory.mktemp("byte_level"))


@pytest.fixture(scope="module")
def byte_fallback(tmp_path_factory: pytest.TempPathFactory) -> FileTokenizer:
    return saved(byte_fallback_file(), tmp_path_factory.mktemp("byte_fallback"))


def pieces(tokenizer: Tokenizer, ids: list[int]) -> list[str]:
    detokenizer = Detokenizer(tokenizer)
    return [*map(detokenizer.push, ids), detokenizer.flush()]


@given(st.lists(st.integers(0, 256)))
def test_joined_pieces_of_bytes_are_the_whole_text(ids: list[int]) -> None:
    """Any bytes, valid UTF-8 or not, give the text that decoding them at once gives."""
    whole = bytes(token_id for token_id in ids if token_id < 256).decode(errors="replace")
    assert "".join(pieces(ByteTokenizer(), ids)) == whole


@given(st.lists(st.lists(st.integers(60, 256), max_size=5), max_size=5))
def test_many_tokens_are_pushed_as_one_by_one(lots: list[list[int]]) -> None:
    together, alone = Detokenizer(ByteTokenizer()), Detokenizer(ByteTokenizer())
    for ids in lots:
        assert together.push_all(ids) == list(map(alone.push, ids))


@given(st.text())
def test_no_replacement_character_comes_from_a_split_character(text: str) -> None:
    """A character that is split over tokens is held back until it is whole."""
    tokenizer = ByteTokenizer()
    out = pieces(tokenizer, tokenizer.encode(text))
    assert "".join(out) == text
    assert [piece for piece in out if piece] == list(text)


def test_joined_pieces_equal_the_library(byte_level: FileTokenizer) -> None:
    """For any ids of a byte-level vocabulary the pieces join to what `tokenizers` decodes."""
    file = byte_level_file()

    @given(st.lists(st.integers(0, file.get_vocab_size() - 1)))
    def check(ids: list[int]) -> None:
        assert "".join(pieces(byte_level, ids)) == file.decode(ids, skip_special_tokens=True)

    check()


def test_text_survives_byte_level(byte_level: FileTokenizer) -> None:
    """Encoding and decoding in pieces gives the text back."""

    @given(st.text())
    def check(text: str) -> None:
        assert "".join(pieces(byte_level, byte_level.encode(text))) == text

    check()


def test_text_survives_byte_fallback(byte_fallback: FileTokenizer) -> None:
    """Characters outside the vocabulary come back from their bytes; the first token keeps its
    space, because an answer goes on after a prompt."""

    @given(st.text(alphabet="the fox é你🙂", min_size=1))
    def check(text: str) -> None:
        ids = byte_fallback.encode(text)
        assert "".join(pieces(byte_fallback, ids)) == " " + text

    check()


def test_special_tokens_are_silent_and_unknown_ids_are_not(byte_level: FileTokenizer) -> None:
    """Every id gives text but special tokens, whatever random weights emit."""
    assert byte_level.token_bytes(0) == b""
    assert byte_level.token_bytes(100_000) == b"?"
    assert ByteTokenizer().token_bytes(ByteTokenizer.EOS_ID) == b""
    assert ByteTokenizer().token_bytes(100_000) == b"?"


def test_decode_shows_special_tokens(byte_level: FileTokenizer) -> None:
    """/detokenize gives the prompt back as it was, special tokens included."""
    text = "<|im_start|>fox<|im_end|>"
    assert byte_level.decode(byte_level.encode(text)) == text


def test_a_compressed_file_is_read(tmp_path: Path) -> None:
    """tokenizer.json.gz is the same tokenizer."""
    path = tmp_path / "tokenizer.json.gz"
    path.write_bytes(gzip.compress(byte_level_file().to_str().encode()))
    assert (
        open_tokenizer(EngineConfig(tokenizer=str(path))).encode("the fox")
        == byte_level_file().encode("the fox").ids
    )


def test_no_file_means_bytes() -> None:
    """Without a file the engine still speaks text."""
    assert open_tokenizer(EngineConfig()).encode("é") == [0xC3, 0xA9]


def test_a_model_folder_brings_its_tokenizer(tmp_path: Path) -> None:
    """No need to name what lies beside the weights."""
    saved(byte_level_file(), tmp_path)
    assert isinstance(open_tokenizer(EngineConfig(model=str(tmp_path))), FileTokenizer)


@pytest.mark.parametrize("content", [None, b"", b"{", b"{}", b"\xff", b'{"model": 1}'])
def test_a_file_that_is_no_tokenizer_is_a_named_error(
    tmp_path: Path, content: bytes | None
) -> None:
    """Missing, empty or broken: the error names the file."""
    path = tmp_path / "tokenizer.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"tokenizer\.json"):
        open_tokenizer(EngineConfig(tokenizer=str(path)))


def test_a_compressed_file_that_is_cut_short_is_a_named_error(tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json.gz"
    path.write_bytes(gzip.compress(byte_level_file().to_str().encode())[:-100])
    with pytest.raises(ConfigError, match=r"tokenizer\.json\.gz"):
        open_tokenizer(EngineConfig(tokenizer=str(path)))


def test_the_default_template_is_chatml() -> None:
    """Without a template of its own a model gets ChatML, ready for the assistant's turn."""
    text = ChatTemplate().render(ChatPrompt([ChatMessage("system", "be brief"), *HELLO.messages]))
    assert text == (
        "<|im_start|>system\nbe brief<|im_end|>\n<|im_start|>user\nhello<|im_end|>\n"
        "<|im_start|>assistant\n"
    )


@pytest.mark.parametrize(
    "template",
    ["{{ bos_token }}{{ messages[0].content }}", [{"name": "default", "template": "hello"}]],
)
def test_a_models_own_template_is_used(tmp_path: Path, template: object) -> None:
    """tokenizer_config.json's chat template, one or named, with the special tokens it names."""
    config = {"chat_template": template, "bos_token": {"content": "<s>"}, "eos_token": "<|im_end|>"}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    tokenizer = saved(byte_level_file(), tmp_path)
    expected = ("<s>" if isinstance(template, str) else "") + "hello"
    assert tokenizer.decode(tokenizer.encode_chat(HELLO).ids) == expected
    assert tokenizer.eos_ids == (2,)


def test_chat_template_jinja_goes_first(tmp_path: Path) -> None:
    """As in transformers, the separate file overrides tokenizer_config.json."""
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"chat_template": "old"}))
    (tmp_path / "chat_template.jinja").write_text("the fox")
    tokenizer = saved(byte_level_file(), tmp_path)
    assert tokenizer.decode(tokenizer.encode_chat(HELLO).ids) == "the fox"


def test_end_tokens_of_the_model_go_first(tmp_path: Path) -> None:
    """generation_config.json may name several, config.json is asked next."""
    (tmp_path / "config.json").write_text(json.dumps({"eos_token_id": 1}))
    assert saved(byte_level_file(), tmp_path).eos_ids == (1,)
    (tmp_path / "generation_config.json").write_text(json.dumps({"eos_token_id": [1, 2]}))
    assert saved(byte_level_file(), tmp_path).eos_ids == (1, 2)


@pytest.mark.parametrize(
    "source",
    [
        "{{ raise_exception('roles must alternate') }}",
        "{{ messages.__class__.__mro__ }}",
        "{{ messages[7].content.nothing }}",
    ],
)
def test_a_template_that_refuses_is_a_named_error(source: str) -> None:
    """A template's own refusal, an escape from the sandbox and a broken access are all refused."""
    with pytest.raises(ChatTemplateError, match="refuses the messages"):
        ChatTemplate(source).render(HELLO)


def test_a_broken_template_is_a_named_error() -> None:
    """A syntax error is told when the template is read, not at the first request."""
    with pytest.raises(ChatTemplateError, match="cannot be read"):
        ChatTemplate("{% if %}")


def test_other_threads_run_while_a_long_text_is_tokenized(byte_level: FileTokenizer) -> None:
    """Python's lock is let go: the event loop goes on beside a tokenizing thread."""
    begun = threading.Event()
    counts: list[int] = []

    def tokenize() -> None:
        begun.set()
        counts.append(len(byte_level.encode("the quick brown fox " * 100_000)))

    thread = threading.Thread(target=tokenize)
    thread.start()
    begun.wait()
    for _ in range(20):
        time.sleep(0.001)  # lets the other thread take the lock; comes back when it is free
    was_early = not counts
    thread.join()
    assert was_early
    assert counts[0] > 100_000
