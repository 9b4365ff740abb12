"""What a conversation is made of on the wire: messages, their parts, calls, the tools on offer."""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from reference_engine.server.chat_template import ChatMessage, ChatPrompt
from reference_engine.server.media import MediaError, MediaReader, unmarked
from reference_engine.server.protocol.errors import ApiError


class ImageUrl(Struct):
    url: str
    detail: str | None = None


class InputAudio(Struct):
    data: str
    format: str = "wav"


class ContentPart(Struct):
    """Text, an image or sound; of chat or (`input_...`, `output_text`) of responses."""

    type: str
    text: str | None = None
    image_url: ImageUrl | str | None = None
    detail: str | None = None
    input_audio: InputAudio | None = None

    def told(self, reader: MediaReader) -> str:
        """Its text, or the mark of a medium. Raises ApiError."""
        try:
            if self.type in ("text", "input_text", "output_text") and self.text is not None:
                return unmarked(self.text)
            if self.type in ("image_url", "input_image") and self.image_url is not None:
                image = self.image_url
                if isinstance(image, str):
                    return reader.image(image, self.detail)
                return reader.image(image.url, image.detail)
            if self.type == "input_audio" and self.input_audio is not None:
                return reader.audio(self.input_audio.data, self.input_audio.format)
        except MediaError as error:
            raise ApiError(400, f"{self.type}: {error}", param="messages") from error
        problem = f"text, image_url and input_audio parts are read here; got type {self.type!r}"
        raise ApiError(400, problem, param="messages")


class FunctionCall(Struct):
    name: str
    arguments: str


class ToolCall(Struct):
    id: str
    function: FunctionCall
    type: str = "function"

    def told(self) -> dict[str, Any]:
        """As chat templates read it: arguments are an object, if they are one."""
        try:
            arguments = msgspec.json.decode(self.function.arguments)
        except (msgspec.DecodeError, RecursionError):
            arguments = self.function.arguments
        function = {"name": self.function.name, "arguments": arguments}
        return {"id": self.id, "type": self.type, "function": function}


class Message(Struct):
    role: str
    content: str | list[ContentPart] | None = None
    name: str | None = None
    tool_calls: list[ToolCall] | None = None
    tool_call_id: str | None = None
    reasoning_content: str | None = None

    @property
    def has_media(self) -> bool:
        """Whether it holds more than text."""
        return isinstance(self.content, list) and any(part.text is None for part in self.content)

    def told(self, reader: MediaReader) -> ChatMessage:
        """As chat templates read it. Raises ApiError for a part that cannot be read."""
        more: dict[str, Any] = {
            "name": self.name,
            "tool_calls": self.tool_calls and [call.told() for call in self.tool_calls],
            "tool_call_id": self.tool_call_id,
            "reasoning_content": self.reasoning_content,
        }
        given = {name: value for name, value in more.items() if value is not None}
        content = self.content or ""
        if not isinstance(content, str):
            return ChatMessage(self.role, "".join(part.told(reader) for part in content), given)
        return ChatMessage(self.role, unmarked(content), given)


class Function(Struct, omit_defaults=True):
    name: Annotated[str, Meta(min_length=1)]
    description: str | None = None
    parameters: dict[str, Any] | None = None


class Tool(Struct):
    function: Function
    type: Literal["function"] = "function"


def chat_prompt(
    messages: list[Message],
    tools: list[Tool] | None,
    settings: dict[str, Any] | None,
    image_tokens: int,
) -> ChatPrompt:
    """What a chat template is given. Raises ApiError for none, or for parts that cannot be read."""
    if not messages:
        raise ApiError(400, "messages must hold at least one message", param="messages")
    reader = MediaReader(image_tokens)
    told = [message.told(reader) for message in messages]
    described = [msgspec.to_builtins(tool) for tool in tools or ()]
    return ChatPrompt(told, described, settings or {}, reader.media)
