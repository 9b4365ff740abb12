"""Prompts that show something: images, a video as frames, recordings; real or generated."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar, Final, Literal

from msgspec import Struct

from benchsuite import streams
from benchsuite.errors import ScenarioError
from benchsuite.message import (
    AudioFile,
    AudioPart,
    ImageFile,
    ImagePart,
    Message,
    Part,
    TextPart,
    VideoPart,
)
from benchsuite.request import Rendered, Request, Session
from benchsuite.spec import Count, DataPath, Share, Spec
from benchsuite.workloads import pictures
from benchsuite.workloads.durations import Durations
from benchsuite.workloads.lengths import Fixed, Lengths
from benchsuite.workloads.prompts import Piece, Pieces
from benchsuite.workloads.tokenizer import Tokenizer

_SIZE: Final = re.compile(r"([1-9]\d{0,4})x([1-9]\d{0,4})")
_IMAGES: Final = (".png", ".jpg", ".jpeg", ".gif", ".webp")
_SOUNDS: Final = (".wav", ".mp3", ".flac", ".ogg", ".m4a")


class Pictures(Spec, frozen=True):
    """Images, or frames of a video: of given sizes, or the files of a folder.

    Each is one that no request has shown before, unless `distinct` says among how many they are
    drawn; of a folder each file is shown in turn. `noise` sets the bytes: 3 per pixel of a tile
    that is noise (0.1 is about what a photograph takes as JPEG).
    """

    count: Lengths = Fixed(1)  # of one request
    sizes: tuple[str, ...] = ()  # WIDTHxHEIGHT in pixels, equally often
    folder: DataPath | None = None  # real ones instead, in the order of their names
    distinct: Count | None = None  # so many that are shown again and again; unset: all new
    format: Literal["png", "jpeg"] = "png"  # of generated ones; jpeg needs the extra `media`
    noise: Share = 0.1  # share of a generated picture that does not compress
    detail: Literal["auto", "low", "high"] | None = None  # how closely the model shall look

    def __post_init__(self) -> None:
        if bool(self.sizes) == (self.folder is not None):
            raise ValueError("give sizes or folder, one of them")
        for size in self.sizes:
            if not _SIZE.fullmatch(size):
                raise ValueError(f"sizes: expected WIDTHxHEIGHT such as 787x444, found {size!r}")


class Recordings(Spec, frozen=True):
    """Sound of a drawn length, or the files of a folder; new or repeated as pictures are."""

    count: Lengths = Fixed(1)  # of one request
    seconds: Durations | None = None  # length of generated ones: 16 kHz, 16 bits, WAV
    folder: DataPath | None = None  # real ones instead, in the order of their names
    distinct: Count | None = None  # so many that are played again and again; unset: all new

    def __post_init__(self) -> None:
        if (self.seconds is None) == (self.folder is None):
            raise ValueError("give seconds or folder, one of them")


class Multimodal(Spec, frozen=True, tag="multimodal"):
    """Single requests that show images, a video (as frames) or recordings beside a text.

    What is shown stands in front of the text. Bodies are made before they are due, so reading and
    encoding are in no latency; their bytes are on record.
    """

    is_endless: ClassVar[bool] = True

    prompt_tokens: Lengths  # of the text
    output_tokens: Lengths  # length of the answers
    images: Pictures | None = None  # shown one by one
    video: Pictures | None = None  # shown as the frames of one video
    audio: Recordings | None = None  # played
    ignore_eos: bool = True  # the answer has to be exactly as long as asked

    def __post_init__(self) -> None:
        if self.images is None and self.video is None and self.audio is None:
            raise ValueError("give images, video or audio")

    def sessions(self, tokenizer: Tokenizer, seed: int) -> Iterator[Session]:
        names = ("prompt_tokens", "output_tokens", "images", "video", "audio")
        rngs = {name: streams.rng(seed, name) for name in names}
        shown = {"images": 0, "video": 0, "audio": 0}
        index = 0
        while True:
            first, num = dict(shown), dict.fromkeys(shown, 0)
            for name in shown:
                source: Pictures | Recordings | None = getattr(self, name)
                if source is not None:
                    num[name] = source.count.draw(rngs[name])
                    shown[name] += num[name]
            text = Piece(("prompt", index), self.prompt_tokens.draw(rngs["prompt_tokens"]))
            prompt = Shown(
                text=Pieces(tokenizer, seed, (text,)),
                what=self,
                seed=seed,
                images=range(first["images"], shown["images"]),
                frames=range(first["video"], shown["video"]),
                sounds=range(first["audio"], shown["audio"]),
            )
            request = Request(
                id=index,
                prompt=prompt,
                prompt_tokens=text.num_tokens,
                max_output_tokens=self.output_tokens.draw(rngs["output_tokens"]),
                ignore_eos=self.ignore_eos,
            )
            yield Session(index, (request,))
            index += 1

    def notes(self) -> tuple[str, ...]:
        return ()


class Shown(Struct, frozen=True):
    """A text and, in front of it, pictures and recordings by their numbers in the run."""

    text: Pieces
    what: Multimodal
    seed: int
    images: range
    frames: range
    sounds: range

    def render(self) -> Rendered:
        messages, num_tokens = self.text.render()
        parts: list[Part] = []
        if self.what.images is not None:
            parts += [_picture(self.what.images, self.seed, i, "image") for i in self.images]
        if self.what.video is not None:
            frames = tuple(_picture(self.what.video, self.seed, i, "frame") for i in self.frames)
            parts.append(VideoPart(frames))
        if self.what.audio is not None:
            parts += [_recording(self.what.audio, self.seed, i) for i in self.sounds]
        message = Message("user", (*parts, TextPart(messages[0].text)))
        return Rendered((message.inlined(),), num_tokens)


def _picture(what: Pictures, seed: int, number: int, role: str) -> ImagePart | ImageFile:
    if what.distinct is not None:
        number %= what.distinct
    if what.folder is not None:
        files = _files(what.folder, _IMAGES)
        return ImageFile(files[number % len(files)], what.detail)
    rng = streams.rng(seed, role, number)
    found = _SIZE.fullmatch(what.sizes[int(rng.random() * len(what.sizes))])
    assert found is not None, "looked at before"
    make = pictures.png if what.format == "png" else pictures.jpeg
    data = make(int(found[1]), int(found[2]), what.noise, rng)
    return ImagePart(f"data:image/{what.format};base64,{pictures.encoded(data)}", what.detail)


def _recording(what: Recordings, seed: int, number: int) -> AudioPart | AudioFile:
    if what.distinct is not None:
        number %= what.distinct
    if what.folder is not None:
        files = _files(what.folder, _SOUNDS)
        return AudioFile(files[number % len(files)])
    assert what.seconds is not None, "looked at before"
    rng = streams.rng(seed, "recording", number)
    return AudioPart(pictures.encoded(pictures.wav(what.seconds.draw(rng), rng)), "wav")


def _files(folder: str, suffixes: tuple[str, ...]) -> list[str]:
    """Raises ScenarioError where there is none."""
    found = sorted(str(path) for path in Path(folder).glob("*") if path.suffix.lower() in suffixes)
    if not found:
        raise ScenarioError(f"{folder}: no file in it ends in {', '.join(suffixes)}")
    return found
