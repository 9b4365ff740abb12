"""Messages keep what they hold, and show files as what is in them."""

import base64
from pathlib import Path

import msgspec
import pytest

from benchsuite.errors import ScenarioError
from benchsuite.message import (
    AudioFile,
    AudioPart,
    ImageFile,
    ImagePart,
    Message,
    TextPart,
    ToolCall,
    VideoPart,
)
from benchsuite.request import Scripted


def test_files_are_read_when_a_prompt_is_rendered(tmp_path: Path) -> None:
    """Images become data URLs, recordings base64, frames of a video likewise."""
    image, sound = tmp_path / "a.PNG", tmp_path / "a.wav"
    image.write_bytes(b"png bytes")
    sound.write_bytes(b"wav bytes")
    shown = (TextPart("?"), ImageFile(str(image), "low"), AudioFile(str(sound)))
    film = VideoPart((ImageFile(str(image)), ImagePart("https://example.com/2.png")))
    prompt = Scripted((Message("user", (*shown, film)),), 1)
    url = "data:image/png;base64," + base64.b64encode(b"png bytes").decode()
    assert prompt.render().messages[0].content == (
        TextPart("?"),
        ImagePart(url, "low"),
        AudioPart(base64.b64encode(b"wav bytes").decode(), "wav"),
        VideoPart((ImagePart(url), ImagePart("https://example.com/2.png"))),
    )


@pytest.mark.parametrize(
    ("name", "said"), [("gone.png", "no such file or directory"), ("a.txt", "expected an image")]
)
def test_a_file_that_cannot_be_shown_is_named(tmp_path: Path, name: str, said: str) -> None:
    """The path and what was expected."""
    message = Message("user", (ImageFile(str(tmp_path / name)),))
    with pytest.raises(ScenarioError, match=f"{name}: {said}"):
        message.inlined()


def test_a_message_outlives_json() -> None:
    """Calls, their answers, reasoning and every part; what is not there is not written."""
    call = Message("assistant", None, (ToolCall("c1", "f", "{oops"),), reasoning="hm")
    answer = Message("tool", "42", tool_call_id="c1")
    shown = Message("user", (TextPart("a"), ImageFile("x.png"), AudioPart("AA==", "wav")))
    written = msgspec.json.encode((call, answer, shown))
    assert msgspec.json.decode(written, type=tuple[Message, ...]) == (call, answer, shown)
    assert msgspec.json.encode(Message("user", "hi")) == b'{"role":"user","content":"hi"}'


def test_text_and_images_of_a_message() -> None:
    """Text leaves out what has no words; frames are images."""
    frames = (ImagePart("a"), ImageFile("b.png"))
    message = Message("user", (TextPart("one"), VideoPart(frames), TextPart("two"), ImagePart("c")))
    assert message.text == "one\ntwo"
    assert message.images == (*frames, ImagePart("c"))
    assert (Message("assistant").text, Message("user", "hi").images) == ("", ())
