"""What is said: chat messages and their parts, tools and calls of them, in this project's words.

Every field is plain data. How a server wants it spelt is `endpoints/`' business.
"""

import base64
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, Literal

from msgspec import Struct
from msgspec.structs import replace

from benchsuite.errors import ScenarioError

Role = Literal["system", "developer", "user", "assistant", "tool"]

_KEPT_FILES: Final = 64  # encoded, in memory: a file that many requests show is read once
_IMAGE_TYPES: Final = {
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".gif": "image/gif",
    ".webp": "image/webp",
}
_AUDIO_FORMATS: Final = {
    ".wav": "wav",
    ".mp3": "mp3",
    ".flac": "flac",
    ".ogg": "ogg",
    ".m4a": "m4a",
}


class TextPart(Struct, frozen=True, tag="text"):
    text: str


class ImagePart(Struct, frozen=True, omit_defaults=True, tag="image"):
    """An image: a data URL (`data:image/png;base64,...`), or one that the server fetches."""

    url: str
    detail: Literal["auto", "low", "high"] | None = None


class ImageFile(Struct, frozen=True, omit_defaults=True, tag="image_file"):
    """An image on this machine; it becomes an `ImagePart` when its prompt is rendered."""

    path: str
    detail: Literal["auto", "low", "high"] | None = None


class AudioPart(Struct, frozen=True, tag="audio"):
    """A recording: base64 of a whole file of that format."""

    data: str
    format: str  # wav, mp3 ...


class AudioFile(Struct, frozen=True, tag="audio_file"):
    """A recording on this machine; it becomes an `AudioPart` when its prompt is rendered."""

    path: str


class VideoPart(Struct, frozen=True, tag="video"):
    """A video as frames in order. Servers get them as so many images."""

    frames: tuple[ImagePart | ImageFile, ...]


Part = TextPart | ImagePart | ImageFile | AudioPart | AudioFile | VideoPart


class ToolCall(Struct, frozen=True):
    """A call as the model wrote it; `arguments` is JSON if the model can write JSON."""

    id: str
    name: str
    arguments: str


class Tool(Struct, frozen=True, omit_defaults=True):
    """A function that the model may call. `parameters` is a JSON Schema of its arguments."""

    name: str
    description: str = ""
    parameters: dict[str, Any] = {}


class Message(Struct, frozen=True, omit_defaults=True):
    """One chat message; `content` is text, or parts where it holds more than text.

    An assistant's message may call tools, and then may have no content; each call is answered by a
    message of the role `tool` with its id. `reasoning` is what the assistant thought before.
    """

    role: Role
    content: str | tuple[Part, ...] | None = None
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None
    reasoning: str | None = None
    name: str | None = None

    @property
    def text(self) -> str:
        """The words of it; images and sound have none."""
        if self.content is None or isinstance(self.content, str):
            return self.content or ""
        return "\n".join(part.text for part in self.content if isinstance(part, TextPart))

    @property
    def images(self) -> tuple[ImagePart | ImageFile, ...]:
        """Every image of it, frames of videos included."""
        found: list[ImagePart | ImageFile] = []
        for part in self.content if isinstance(self.content, tuple) else ():
            if isinstance(part, ImagePart | ImageFile):
                found.append(part)
            elif isinstance(part, VideoPart):
                found += part.frames
        return tuple(found)

    def inlined(self) -> "Message":
        """The same with its files read. Raises ScenarioError for one that cannot be."""
        if not isinstance(self.content, tuple):
            return self
        return replace(self, content=tuple(map(_inlined, self.content)))


def image_url(path: str) -> str:
    """The data URL of an image file. Raises ScenarioError if it cannot be read or is no image."""
    kind, data = _encoded(path, "image")
    return f"data:{kind};base64,{data}"


def _inlined(part: Part) -> Part:
    if isinstance(part, ImageFile):
        return ImagePart(image_url(part.path), part.detail)
    if isinstance(part, AudioFile):
        kind, data = _encoded(part.path, "audio")
        return AudioPart(data, kind)
    if isinstance(part, VideoPart):
        return VideoPart(tuple(map(_frame, part.frames)))
    return part


def _frame(frame: ImagePart | ImageFile) -> ImagePart:
    return frame if isinstance(frame, ImagePart) else ImagePart(image_url(frame.path), frame.detail)


@lru_cache(maxsize=_KEPT_FILES)
def _encoded(path: str, what: Literal["image", "audio"]) -> tuple[str, str]:
    """(kind by suffix, base64)"""
    known = _IMAGE_TYPES if what == "image" else _AUDIO_FORMATS
    kind = known.get(Path(path).suffix.lower())
    if kind is None:
        raise ScenarioError(f"{path}: expected an {what} file: {', '.join(known)}")
    try:
        return kind, base64.b64encode(Path(path).read_bytes()).decode()
    except OSError as error:
        raise ScenarioError(f"{path}: {(error.strerror or str(error)).lower()}") from error
