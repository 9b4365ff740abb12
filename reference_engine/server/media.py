"""Images and recordings of a request: from data URLs to what the encoder reads.

An image is scaled so that it takes no more than the token budget, with sides that are multiples of
28 pixels (two patches of 14), as Qwen2-VL does. Sound is PCM WAV, brought to one channel and
16 kHz; a token stands for 80 ms. Nothing is fetched from elsewhere: a server that is measured must
not wait for a third party.
"""

import base64
import binascii
import io
import re
import wave
from collections.abc import Callable, Sequence
from hashlib import blake2b
from math import ceil, sqrt
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from reference_engine.media import MERGED, Media, Placed
from reference_engine.specs import EncoderShape

_SIDE: Final = 2 * EncoderShape.PATCH
_LOW_DETAIL_TOKENS: Final = 64
_RATE_HZ: Final = 16_000
_MOST_PIXELS: Final = 2**26
_DATA_URL: Final = re.compile(r"data:[\w/+.-]*(?:;[\w=-]+)*;base64,(.*)", re.DOTALL)
_MARK: Final = re.compile("\uf8ff([0-9]+)\uf8fe")


class Encoded(NamedTuple):
    """A prompt's ids, and which of them stand for media."""

    ids: list[int]
    media: tuple[Placed, ...]


class MediaError(ValueError):
    """It cannot be read; the text says why."""


class MediaReader:
    """Reads a request's media in their order and gives the marks that stand for them."""

    def __init__(self, image_tokens: int) -> None:
        self._image_tokens = image_tokens
        self.media: list[Media] = []

    def image(self, url: str, detail: str | None) -> str:
        """Raises MediaError."""
        return self._mark(image(url, detail, self._image_tokens))

    def audio(self, data: str, format: str) -> str:
        """Raises MediaError."""
        return self._mark(audio(data, format))

    def _mark(self, media: Media) -> str:
        self.media.append(media)
        return f"\uf8ff{len(self.media) - 1}\uf8fe"


def unmarked(text: str) -> str:
    """A client's text, which must not look like a mark."""
    return text.replace("\uf8ff", "\ufffd")


def image(url: str, detail: str | None, budget_tokens: int) -> Media:
    """From a data URL of any format that Pillow reads. Raises MediaError."""
    found = _DATA_URL.fullmatch(url)
    if found is None:
        raise MediaError("an image must be a data URL in base64; nothing is fetched from elsewhere")
    data = _decoded(found[1])
    budget = min(budget_tokens, _LOW_DETAIL_TOKENS) if detail == "low" else budget_tokens
    patches = _patches(_pixels(data, budget))
    return Media("image", blake2b(b"%d " % budget + data, digest_size=16).digest(), patches)


def audio(data: str, format: str) -> Media:
    """From base64 of a WAV file. Raises MediaError."""
    if format != "wav":
        raise MediaError(f"sound is read as wav only, not {format!r}")
    raw = _decoded(data)
    try:
        with wave.open(io.BytesIO(raw)) as file:
            channels, width, rate = file.getnchannels(), file.getsampwidth(), file.getframerate()
            frames = file.readframes(file.getnframes())
    except (wave.Error, EOFError) as error:
        raise MediaError(f"not a PCM WAV file: {error}") from error
    if width != 2 or not rate or not frames:
        raise MediaError("sound must be 16-bit PCM and not empty")
    whole = len(frames) // (2 * channels) * channels
    sound = np.frombuffer(frames, "<i2", whole).reshape(-1, channels).mean(1) / 2**15
    length = max(1, round(len(sound) * _RATE_HZ / rate))
    sound = np.interp(np.arange(length) * rate / _RATE_HZ, np.arange(len(sound)), sound)
    size = EncoderShape.FRAME
    rows = ceil(length / (size * MERGED)) * MERGED
    padded = np.pad(sound, (0, rows * size - length)).astype(np.float32)
    return Media("audio", blake2b(raw, digest_size=16).digest(), padded.reshape(rows, size))


def placed(
    text: str, media: Sequence[Media], encode: Callable[[str, bool], list[int]], vocab_size: int
) -> Encoded:
    """A text with marks as ids. `encode` takes a stretch of text and
    whether it is the first.

    A medium's ids follow from its content, so equal prefixes with equal media are equal ids, and
    the prefix cache needs to know nothing of them.
    """
    if not media:
        return Encoded(encode(text, True), ())
    ids: list[int] = []
    found: list[Placed] = []
    for position, stretch in enumerate(_MARK.split(text)):
        if position % 2:
            one = media[int(stretch)]
            found.append(Placed(len(ids), one))
            draw = np.random.default_rng(int.from_bytes(one.key))
            ids += draw.integers(vocab_size, size=one.num_tokens).tolist()
        elif stretch or not position:
            ids += encode(stretch, not position)
    return Encoded(ids, tuple(found))


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise MediaError(f"not base64: {error}") from error


def _pixels(data: bytes, budget_tokens: int) -> NDArray[np.float32]:
    """[height, width, 3] in -1..1, sides multiples of 28, no more than the budget."""
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(io.BytesIO(data)) as opened:
            if opened.width * opened.height > _MOST_PIXELS:
                raise MediaError(f"an image of {opened.width} x {opened.height} is too large")
            columns, rows = _grid(opened.width, opened.height, budget_tokens)
            scaled = opened.convert("RGB").resize((columns * _SIDE, rows * _SIDE))
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError) as error:
        raise MediaError(f"not an image that can be read: {error}") from error
    return np.asarray(scaled, np.float32) / 127.5 - 1.0


def _grid(width: int, height: int, budget_tokens: int) -> tuple[int, int]:
    """Columns and rows of tokens: the image's own, or fewer of about the same proportions."""
    columns, rows = max(1, round(width / _SIDE)), max(1, round(height / _SIDE))
    if columns * rows > budget_tokens:
        scale = sqrt(budget_tokens / (columns * rows))
        columns, rows = max(1, int(columns * scale)), max(1, int(rows * scale))
        columns, rows = min(columns, budget_tokens // rows), min(rows, budget_tokens)
    return max(1, columns), rows


def _patches(pixels: NDArray[np.float32]) -> NDArray[np.float32]:
    """[patches, 14 * 14 * 3], the four of a token one behind the other."""
    side = EncoderShape.PATCH
    rows, columns = pixels.shape[0] // _SIDE, pixels.shape[1] // _SIDE
    blocks = pixels.reshape(rows, 2, side, columns, 2, side, 3).transpose(0, 3, 1, 4, 2, 5, 6)
    return np.ascontiguousarray(blocks.reshape(rows * columns * MERGED, side * side * 3))
