"""What is shown is what was asked, new or again."""

import base64
import io
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from benchsuite.errors import ScenarioError
from benchsuite.message import AudioPart, ImagePart, Message, TextPart, VideoPart
from benchsuite.workloads import tokenizer as tokenizers
from benchsuite.workloads.durations import FixedTime
from benchsuite.workloads.lengths import Fixed, Uniform
from benchsuite.workloads.multimodal import Multimodal, Pictures, Recordings

TOKENIZER = tokenizers.load("bundled")


def workload(**more: Any) -> Multimodal:
    return Multimodal(prompt_tokens=Fixed(16), output_tokens=Fixed(4), **more)


def messages(what: Multimodal, num: int = 4, seed: int = 1) -> list[Message]:
    found = islice(what.sessions(TOKENIZER, seed), num)
    return [one.requests[0].prompt.render().messages[0] for one in found]


def urls(message: Message) -> list[str]:
    return [image.url for image in message.images if isinstance(image, ImagePart)]


def size(url: str) -> tuple[int, int]:
    kind, _, data = url.partition(";base64,")
    assert kind == "data:image/png"
    return Image.open(io.BytesIO(base64.b64decode(data))).size


def test_images_of_the_sizes_asked_in_front_of_the_text() -> None:
    """Each one new, and the same in every process."""
    what = workload(images=Pictures(count=Fixed(3), sizes=("40x30", "16x24")))
    found = messages(what)
    assert all(isinstance(one.content, tuple) for one in found)
    assert all(isinstance(one.content[-1], TextPart) for one in found)
    assert TOKENIZER.count(found[0].text) == 16
    shown = [url for one in found for url in urls(one)]
    assert len(set(shown)) == 12
    assert {size(url) for url in shown} == {(40, 30), (16, 24)}
    assert messages(what) == found
    assert messages(what, seed=2) != found


def test_repeated_images_come_again() -> None:
    """So many different ones as asked, one after the other."""
    what = workload(images=Pictures(count=Fixed(2), sizes=("16x16",), distinct=3))
    shown = [url for one in messages(what, 6) for url in urls(one)]
    assert shown[:3] == shown[3:6] == shown[6:9]
    assert len(set(shown)) == 3


def test_how_many_is_drawn() -> None:
    """By request, from its own stream."""
    what = workload(images=Pictures(count=Uniform(1, 4), sizes=("8x8",)))
    assert {len(one.images) for one in messages(what, 40)} == {1, 2, 3, 4}


def test_a_video_is_its_frames() -> None:
    """One part; its frames are images where images are counted."""
    what = workload(video=Pictures(count=Fixed(5), sizes=("8x8",)))
    (one,) = messages(what, 1)
    assert isinstance(one.content, tuple)
    assert isinstance(one.content[0], VideoPart)
    assert len(one.images) == 5


def test_recordings() -> None:
    """Generated ones of the length asked."""
    what = workload(audio=Recordings(count=Fixed(2), seconds=FixedTime(0.1)))
    (one,) = messages(what, 1)
    assert isinstance(one.content, tuple)
    sounds = [part for part in one.content if isinstance(part, AudioPart)]
    assert [sound.format for sound in sounds] == ["wav", "wav"]
    assert sounds[0] != sounds[1]
    assert len(base64.b64decode(sounds[0].data)) == 44 + 2 * 1600


def test_files_are_shown_in_the_order_of_their_names(tmp_path: Path) -> None:
    """Round and round; other files are passed over."""
    for name in ("b.png", "a.jpg", "c.txt"):
        (tmp_path / name).write_bytes(name.encode())
    what = workload(images=Pictures(folder=str(tmp_path)))
    found = [urls(one)[0] for one in messages(what, 3)]
    assert [base64.b64decode(url.partition("base64,")[2]) for url in found] == [
        b"a.jpg",
        b"b.png",
        b"a.jpg",
    ]
    with pytest.raises(ScenarioError, match="no file in it"):
        messages(workload(audio=Recordings(folder=str(tmp_path))))


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Pictures(), "sizes or folder"),
        (lambda: Pictures(sizes=("10x10",), folder="x"), "sizes or folder"),
        (lambda: Pictures(sizes=("10 by 10",)), "expected WIDTHxHEIGHT"),
        (lambda: Recordings(), "seconds or folder"),
        (lambda: workload(), "images, video or audio"),
    ],
)
def test_what_cannot_be_shown_is_refused(make: Any, said: str) -> None:
    """When the scenario is read."""
    with pytest.raises(ValueError, match=said):
        make()
