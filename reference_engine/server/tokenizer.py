"""Text to token ids and back: a Hugging Face tokenizer file, or bytes when there is none.

Output text is made token by token from the bytes each token stands for, so a character that is
split over tokens is held back until it is whole, and no token is ever decoded twice.
"""

import codecs
import gzip
import re
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, Protocol

import msgspec
from tokenizers import Tokenizer as TokenizerFile

from reference_engine.config import EngineConfig
from reference_engine.server.chat_template import ChatPrompt, ChatTemplate
from reference_engine.server.media import Encoded, placed
from reference_engine.server.pieces import Pieces, TokenizerParts
from reference_engine.specs import ConfigError

UNKNOWN_TOKEN: Final = b"?"
"""Text of an id that the vocabulary does not know. Random weights emit such ids; each still
gives text, so each still gives an event."""

_BYTE_TOKEN: Final = re.compile(r"<0x([0-9A-Fa-f]{2})>")


class Tokenizer(Protocol):
    """What the server needs of a tokenizer."""

    @property
    def eos_ids(self) -> tuple[int, ...]:
        """Ids that end an answer."""
        ...

    @property
    def vocab_size(self) -> int:
        """`encode` gives ids smaller than this."""
        ...

    def encode(self, text: str) -> list[int]:
        """Ids of `text`, with what the tokenizer puts around it (a BOS token, if any)."""
        ...

    def encode_chat(self, prompt: ChatPrompt) -> Encoded:
        """The conversation, ready for the assistant's answer. Raises ChatTemplateError."""
        ...

    def decode(self, ids: Sequence[int]) -> str:
        """Text of `ids`, special tokens included."""
        ...

    def token_bytes(self, token_id: int) -> bytes:
        """UTF-8 that the token adds to an answer: possibly a part of a character, empty for
        special tokens, `UNKNOWN_TOKEN` for ids outside the vocabulary."""
        ...


class Detokenizer:
    """Token ids of one answer to text, as they come.

    The pieces joined are the decoded bytes of all tokens, however they are cut. Bytes that can
    never become a character turn into U+FFFD as in `bytes.decode(errors="replace")`.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._token_bytes = tokenizer.token_bytes
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._is_whole = True  # no character is begun

    def push(self, token_id: int) -> str:
        """Text that is complete with this token; empty while a character is incomplete."""
        piece = self._token_bytes(token_id)
        if self._is_whole and piece.isascii():  # nearly all; the decoder's call costs twice as much
            return piece.decode()
        text = self._decoder.decode(piece)
        self._is_whole = not self._decoder.getstate()[0]
        return text

    def push_all(self, token_ids: Sequence[int]) -> list[str]:
        """What `push` gives for each, [tokens]."""
        pieces = list(map(self._token_bytes, token_ids))
        if self._is_whole and b"".join(pieces).isascii():
            return [piece.decode() for piece in pieces]
        return list(map(self.push, token_ids))

    def flush(self) -> str:
        """What is still held back, when no more tokens come."""
        self._is_whole = True
        return self._decoder.decode(b"", True)


class ByteTokenizer:
    """One token per UTF-8 byte (ids 0..255) and an end token: needs no file."""

    EOS_ID: Final = 256

    def __init__(self, template: ChatTemplate | None = None) -> None:
        self._template = template or ChatTemplate()
        self._pieces = [bytes([value]) for value in range(256)]

    @property
    def eos_ids(self) -> tuple[int, ...]:
        return (self.EOS_ID,)

    @property
    def vocab_size(self) -> int:
        return 256

    def encode(self, text: str) -> list[int]:
        return list(text.encode())

    def encode_chat(self, prompt: ChatPrompt) -> Encoded:
        text = self._template.render(prompt)
        return placed(text, prompt.media, lambda one, _: self.encode(one), self.vocab_size)

    def decode(self, ids: Sequence[int]) -> str:
        return b"".join(map(self.token_bytes, ids)).decode(errors="replace")

    def token_bytes(self, token_id: int) -> bytes:
        if token_id < 256:
            return self._pieces[token_id]
        return b"" if token_id == self.EOS_ID else UNKNOWN_TOKEN


class FileTokenizer:
    """A `tokenizer.json` (or `.json.gz`), with what lies beside it.

    Read from the same folder, where there: `tokenizer_config.json` (chat template, end token),
    `chat_template.jinja`, and `generation_config.json` or `config.json` (end token ids).
    Raises OSError, or ValueError for files that are not what their names say.
    """

    def __init__(self, path: Path) -> None:
        text = _read_text(path)
        self._decoder_kinds = _decoder_kinds(text)
        self._file = _parse(text)
        self._vocab_size = max(self._file.get_vocab().values(), default=-1) + 1
        config = _read_tokenizer_config(path.parent)
        source = config.chat_source(path.parent)
        self._template = ChatTemplate(source, config.special_tokens())
        # A model's own template writes its BOS token itself; the default one knows none.
        self._chat_adds_special_tokens = source is None
        self._eos_ids = _read_eos_ids(path.parent, config, self._file)
        added = self._file.get_added_tokens_decoder()
        silent = {token_id for token_id, token in added.items() if token.special}
        self._pieces = dict.fromkeys(silent | set(self._eos_ids), b"")
        self._anchor = self._find_anchor(silent)
        is_plain = self._file.truncation is None and self._file.padding is None
        is_plain &= not any(  # such a token is not found wherever its text is
            token.lstrip or token.rstrip or token.single_word or token.normalized
            for token in added.values()
        )
        self._cut = None
        if is_plain and msgspec.json.decode(text, type=TokenizerParts).cuts_as_gpt2:
            ids = {token.content: token_id for token_id, token in added.items()}
            self._cut = Pieces(self._encode_whole, ids)
        self._has_surround = bool(self._file.num_special_tokens_to_add(False))

    @property
    def eos_ids(self) -> tuple[int, ...]:
        return self._eos_ids

    @property
    def vocab_size(self) -> int:
        return self._vocab_size

    def encode(self, text: str) -> list[int]:
        return self._encode(text, add_special_tokens=True)

    def encode_chat(self, prompt: ChatPrompt) -> Encoded:
        adds = self._chat_adds_special_tokens

        def encode(text: str, is_first: bool) -> list[int]:
            return self._encode(text, add_special_tokens=adds and is_first)

        return placed(self._template.render(prompt), prompt.media, encode, self.vocab_size)

    def _encode(self, text: str, *, add_special_tokens: bool) -> list[int]:
        if self._cut is not None and not (add_special_tokens and self._has_surround):
            ids = self._cut.ids(text)
            if ids is not None:
                return ids
        return self._encode_whole(text, add_special_tokens=add_special_tokens)

    def _encode_whole(self, text: str, *, add_special_tokens: bool = False) -> list[int]:
        """By the call for batches: the one for a single text holds Python's lock to its end."""
        [encoding] = self._file.encode_batch_fast([text], add_special_tokens=add_special_tokens)
        return list(encoding.ids)

    def decode(self, ids: Sequence[int]) -> str:
        return str(self._file.decode(list(ids), skip_special_tokens=False))

    def token_bytes(self, token_id: int) -> bytes:
        piece = self._pieces.get(token_id)
        if piece is None:
            piece = self._pieces[token_id] = self._find_bytes(token_id)
        return piece

    def _find_bytes(self, token_id: int) -> bytes:
        """Bytes of one token, from the kind of decoder the file names."""
        token: str | None = self._file.id_to_token(token_id)
        if token is None:
            return UNKNOWN_TOKEN
        if "ByteLevel" in self._decoder_kinds:
            if all(char in _BYTE_OF_CHAR for char in token):
                return bytes(_BYTE_OF_CHAR[char] for char in token)
            return token.encode()
        if "ByteFallback" in self._decoder_kinds and (match := _BYTE_TOKEN.fullmatch(token)):
            return bytes.fromhex(match[1])
        # Decoders treat a text's first token apart (they strip its space); an answer goes on
        # after the prompt, so its tokens are decoded behind another one.
        before = str(self._file.decode([self._anchor], skip_special_tokens=False))
        both = str(self._file.decode([self._anchor, token_id], skip_special_tokens=False))
        return both.removeprefix(before).encode()

    def _find_anchor(self, silent: set[int]) -> int:
        """An ordinary token whose text is whole by itself."""
        for token_id in range(self._file.get_vocab_size()):
            token = self._file.id_to_token(token_id)
            if token is not None and token.isalnum() and token_id not in silent:
                return token_id
        return 0


def open_tokenizer(config: EngineConfig) -> Tokenizer:
    """The tokenizer that the configuration names, else the model folder's, else bytes.

    Raises ConfigError.
    """
    path = _path(config)
    if path is None:
        return ByteTokenizer()
    try:
        return FileTokenizer(path)
    except OSError as error:
        raise ConfigError(f"tokenizer: {path}: {error.strerror or error}") from error
    except (ValueError, EOFError, zlib.error) as error:
        raise ConfigError(f"tokenizer: {path}: {error}") from error


def _path(config: EngineConfig) -> Path | None:
    if config.tokenizer is not None:
        return Path(config.tokenizer)
    folder = config.source.folder
    files = [] if folder is None else [folder / "tokenizer.json", folder / "tokenizer.json.gz"]
    return next((file for file in files if file.is_file()), None)


def _read_text(path: Path) -> str:
    data = path.read_bytes()
    return (gzip.decompress(data) if path.suffix == ".gz" else data).decode()


def _parse(text: str) -> TokenizerFile:
    try:
        return TokenizerFile.from_str(text)
    except Exception as error:  # the library raises no other class
        raise ValueError(str(error)) from error


class _NamedTemplate(msgspec.Struct):
    name: str
    template: str


class _AddedToken(msgspec.Struct):
    content: str


class _TokenizerConfig(msgspec.Struct):
    """The parts of `tokenizer_config.json` that matter here."""

    chat_template: str | list[_NamedTemplate] | None = None
    bos_token: str | _AddedToken | None = None
    eos_token: str | _AddedToken | None = None

    def special_tokens(self) -> dict[str, str]:
        """Token text by the name that chat templates use."""
        given = {"bos_token": self.bos_token, "eos_token": self.eos_token}
        return {
            name: token if isinstance(token, str) else token.content
            for name, token in given.items()
            if token is not None
        }

    def chat_source(self, folder: Path) -> str | None:
        """The model's own chat template: `chat_template.jinja` goes first, as in transformers."""
        if (folder / "chat_template.jinja").is_file():
            return (folder / "chat_template.jinja").read_text()
        if isinstance(self.chat_template, list):
            return {entry.name: entry.template for entry in self.chat_template}.get("default")
        return self.chat_template


def _read_tokenizer_config(folder: Path) -> _TokenizerConfig:
    path = folder / "tokenizer_config.json"
    if not path.is_file():
        return _TokenizerConfig()
    return msgspec.json.decode(path.read_bytes(), type=_TokenizerConfig)


class _EndTokens(msgspec.Struct):
    eos_token_id: int | list[int] | None = None


def _read_eos_ids(folder: Path, config: _TokenizerConfig, file: TokenizerFile) -> tuple[int, ...]:
    """End token ids: those the model's configuration names, else the tokenizer's own."""
    for path in (folder / "generation_config.json", folder / "config.json"):
        if path.is_file():
            ids = msgspec.json.decode(path.read_bytes(), type=_EndTokens).eos_token_id
            if ids is not None:
                return (ids,) if isinstance(ids, int) else tuple(ids)
    token = config.special_tokens().get("eos_token")
    token_id = None if token is None else file.token_to_id(token)
    return () if token_id is None else (token_id,)


class _Decoder(msgspec.Struct):
    type: str
    decoders: list["_Decoder"] = []


class _TokenizerJson(msgspec.Struct):
    model: msgspec.Raw
    decoder: _Decoder | None = None


def _decoder_kinds(text: str) -> frozenset[str]:
    """Names of the decoders in a tokenizer.json, those inside a sequence included."""
    decoder = msgspec.json.decode(text, type=_TokenizerJson).decoder
    if decoder is None:
        return frozenset()
    return frozenset({decoder.type, *(inner.type for inner in decoder.decoders)})


def _byte_of_char() -> Mapping[str, int]:
    """GPT-2's printable stand-in for each byte, read backwards (Radford et al. 2019, encoder.py):
    visible Latin-1 characters stand for themselves, the others for U+0100 upwards in order."""
    visible = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    hidden = [value for value in range(256) if value not in set(visible)]
    stand_ins = {chr(0x100 + rank): value for rank, value in enumerate(hidden)}
    return {chr(value): value for value in visible} | stand_ins


_BYTE_OF_CHAR: Final = _byte_of_char()
