"""Made pictures and recordings are what they say, for whoever opens them."""

import io
import wave

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from benchsuite.streams import rng
from benchsuite.workloads.pictures import jpeg, png, wav


@settings(max_examples=25)
@given(st.integers(1, 70), st.integers(1, 70), st.sampled_from([0.0, 0.3, 1.0]))
def test_a_png_of_any_size_opens(width: int, height: int, noise: float) -> None:
    """Checksums and rows are right, which a decoder looks at; the size is the one asked."""
    image = Image.open(io.BytesIO(png(width, height, noise, rng(1, "p"))))
    image.load()
    assert (image.size, image.mode) == ((width, height), "RGB")


def test_pictures_differ_at_the_top_and_are_the_same_for_the_same_number() -> None:
    """No two are alike for a cache that looks at pixels; below the first tiles they are."""
    first, again, other = (png(40, 40, 0.1, rng(1, "p", i)) for i in (0, 0, 1))
    assert first == again
    pixels = [np.asarray(Image.open(io.BytesIO(data))) for data in (first, other)]
    assert (pixels[0][:8] != pixels[1][:8]).any()
    assert (pixels[0][8:] == pixels[1][8:]).all()


def test_noise_sets_the_size() -> None:
    """A tenth of noise is about 0.3 bytes a pixel, as photographs have as JPEG."""
    plain, photo, noisy = (len(png(400, 300, noise, rng(1, "p"))) for noise in (0.0, 0.1, 1.0))
    assert 0.05 < plain / 120_000 < 0.25
    assert 0.3 < photo / 120_000 < 0.6
    assert 3.0 < noisy / 120_000 < 3.1


def test_a_jpeg_opens() -> None:
    """By the library that wrote it, and says what it is."""
    image = Image.open(io.BytesIO(jpeg(50, 30, 0.1, rng(1, "p"))))
    assert (image.size, image.format) == ((50, 30), "JPEG")


@pytest.mark.parametrize("seconds", [0.01, 0.25, 1.0])
def test_a_recording_is_as_long_as_asked(seconds: float) -> None:
    """16 kHz, 16 bits, one channel; and it is heard."""
    with wave.open(io.BytesIO(wav(seconds, rng(1, "w")))) as file:
        assert (file.getframerate(), file.getsampwidth(), file.getnchannels()) == (16_000, 2, 1)
        assert file.getnframes() == round(seconds * 16_000)
        samples = np.frombuffer(file.readframes(file.getnframes()), "<i2")
    assert np.abs(samples).max() > 1_000
