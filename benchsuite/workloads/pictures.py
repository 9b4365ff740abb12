"""Pictures and recordings made from numbers: PNG by zlib, WAV by hand, JPEG by Pillow.

A picture is a mosaic of 8 x 8 pixel tiles, some plain and some noise, so that its size is that of a
photograph and not that of a blank page. Only the topmost tiles differ between pictures of one size:
the rest is compressed once, so that a picture of 12 megapixels that no cache has seen takes
milliseconds. (PNG, ISO/IEC 15948; zlib, RFC 1950, whose checksum of two pieces is that of
`adler32_combine` in zlib.)
"""

import base64
import io
import struct
import zlib
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from benchsuite import streams
from benchsuite.errors import ScenarioError

TILE: Final = 8  # pixels
SAMPLE_RATE: Final = 16_000  # of recordings, per second, as speech models want it
_ADLER: Final = 65_521
_ZLIB_HEADER: Final = b"\x78\x01"  # deflate, 32 KiB window, fastest
_LEVEL: Final = 1  # what is noise gains nothing from more


def png(width: int, height: int, noise: float, rng: Generator) -> bytes:
    """A picture whose topmost rows belong to `rng`. `noise`: share of tiles that are noise, which
    cost 3 bytes a pixel; the others cost nearly nothing."""
    rest, rest_adler, rest_bytes = _rest(width, height, noise)
    top_rows = min(TILE, height)
    top = _rows(_mosaic(width, top_rows, noise, rng))
    squeeze = zlib.compressobj(_LEVEL, zlib.DEFLATED, -15)
    data = squeeze.compress(top) + squeeze.flush(zlib.Z_FULL_FLUSH)  # what follows stands alone
    adler = _combined(zlib.adler32(top), rest_adler, rest_bytes)
    body = _ZLIB_HEADER + data + rest + struct.pack(">I", adler)
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)  # 8 bits, RGB
    chunks = _chunk(b"IHDR", header) + _chunk(b"IDAT", body) + _chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


def jpeg(width: int, height: int, noise: float, rng: Generator) -> bytes:
    """The same kind of mosaic as JPEG. Raises ScenarioError where Pillow is missing."""
    try:
        from PIL import Image
    except ImportError as error:
        raise ScenarioError(
            'format jpeg needs Pillow: pip install "benchsuite[media]"; png needs nothing'
        ) from error
    pixels = _whole(width, height, noise).copy()
    pixels[:TILE] = _mosaic(width, min(TILE, height), noise, rng)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "JPEG", quality=90)
    return out.getvalue()


def wav(seconds: float, rng: Generator) -> bytes:
    """A recording of a wandering tone in a little noise: 16 kHz, 16 bits, one channel."""
    num = max(1, round(seconds * SAMPLE_RATE))
    knots = np.arange(0, num + 4000, 4000)
    pitch = 120.0 * 2 ** np.interp(np.arange(num), knots, rng.random(len(knots)))
    tone = 0.5 * np.sin(2 * np.pi * np.cumsum(pitch) / SAMPLE_RATE)
    samples = (tone + 0.01 * rng.standard_normal(num)).clip(-1, 1)
    data = (samples * 32_000).astype("<i2").tobytes()
    sizes = (16, 1, 1, SAMPLE_RATE, 2 * SAMPLE_RATE, 2, 16)
    head = b"fmt " + struct.pack("<IHHIIHH", *sizes) + b"data" + struct.pack("<I", len(data))
    return b"RIFF" + struct.pack("<I", 4 + len(head) + len(data)) + b"WAVE" + head + data


def encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()


@lru_cache(maxsize=8)
def _rest(width: int, height: int, noise: float) -> tuple[bytes, int, int]:
    """All but the topmost rows, the same for all pictures: deflated, its checksum, its length."""
    pixels = _whole(width, height, noise)[TILE:]
    rows = _rows(pixels) if len(pixels) else b""
    squeeze = zlib.compressobj(_LEVEL, zlib.DEFLATED, -15)
    return squeeze.compress(rows) + squeeze.flush(), zlib.adler32(rows), len(rows)


@lru_cache(maxsize=2)
def _whole(width: int, height: int, noise: float) -> NDArray[np.uint8]:
    return _mosaic(width, height, noise, streams.rng(0, "picture", width, height))


def _mosaic(width: int, height: int, noise: float, rng: Generator) -> NDArray[np.uint8]:
    """[height, width, 3]"""
    across, down = -(-width // TILE), -(-height // TILE)
    colours = rng.integers(0, 256, (down, across, 3), dtype=np.uint8)
    is_noise = rng.random((down, across)) < noise
    pixels = colours.repeat(TILE, axis=0).repeat(TILE, axis=1)
    where = is_noise.repeat(TILE, axis=0).repeat(TILE, axis=1)
    pixels[where] = rng.integers(0, 256, (int(where.sum()), 3), dtype=np.uint8)
    return pixels[:height, :width]


def _rows(pixels: NDArray[np.uint8]) -> bytes:
    """Scan lines, each behind its filter's number (0: none)."""
    lines = pixels.reshape(len(pixels), -1)
    return np.pad(lines, ((0, 0), (1, 0))).tobytes()


def _combined(first: int, second: int, second_bytes: int) -> int:
    """Adler-32 of two pieces, one behind the other."""
    low1, high1, low2, high2 = first & 0xFFFF, first >> 16, second & 0xFFFF, second >> 16
    low = (low1 + low2 - 1) % _ADLER
    high = (high1 + high2 + second_bytes * (low1 - 1)) % _ADLER
    return high << 16 | low


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
