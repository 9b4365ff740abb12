"""Bodies of requests. What is asked for in a wrong way is an `ApiError` that names the field."""

from collections.abc import Iterable
from typing import Annotated, Any, Literal, NamedTuple, TypeVar

import msgspec
from msgspec import Meta, Struct

from reference_engine.behaviour import Effort
from reference_engine.server.protocol.errors import ApiError
from reference_engine.server.protocol.messages import Message, Tool

_T = TypeVar("_T")
Natural = Annotated[int, Meta(ge=0)]
Count = Annotated[int, Meta(ge=1)]


class StreamOptions(Struct):
    include_usage: bool | None = None
    continuous_usage_stats: bool | None = None


class NamedFunction(Struct):
    name: str


class NamedTool(Struct):
    function: NamedFunction
    type: Literal["function"] = "function"


class JsonSchema(Struct):
    schema: dict[str, Any] | None = None


class ResponseFormat(Struct):
    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchema | None = None


class GenerationRequest(Struct, kw_only=True):
    """What chat completions and completions have in common."""

    model: str | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: Count | None = None
    min_tokens: Natural | None = None
    ignore_eos: bool | None = None
    temperature: Annotated[float, Meta(ge=0)] | None = None
    top_p: Annotated[float, Meta(gt=0, le=1)] | None = None
    seed: Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)] | None = None
    top_k: Annotated[int, Meta(ge=-1)] | None = None
    min_p: Annotated[float, Meta(ge=0, le=1)] | None = None
    presence_penalty: Annotated[float, Meta(ge=-2, le=2)] | None = None
    frequency_penalty: Annotated[float, Meta(ge=-2, le=2)] | None = None
    repetition_penalty: Annotated[float, Meta(gt=0)] | None = None
    stop: str | list[str] | None = None
    n: Annotated[int, Meta(ge=1, le=128)] | None = None
    priority: int | None = None
    ttft_slo_s: Annotated[float, Meta(gt=0)] | None = None
    request_id: str | None = None

    @property
    def num_logprobs(self) -> int | None:
        """Likeliest tokens to tell with each; None: no log-probabilities."""
        return None

    def stops(self) -> tuple[str, ...]:
        """The stop strings. Raises ApiError for an empty one."""
        stops = (self.stop,) if isinstance(self.stop, str) else tuple(self.stop or ())
        if not all(stops):
            raise ApiError(400, "stop cannot contain an empty string", param="stop")
        return stops

    def check(self) -> None:
        """Refuse what would change the answer's meaning if it were ignored."""
        if self.stream_options is not None and not self.stream:
            raise ApiError(
                400, "stream_options are for streams: set stream to true", param="stream_options"
            )


class Thinking(Struct):
    """Anthropic's field. `type` may be left out where a budget says it."""

    type: Literal["enabled", "disabled", "adaptive"] | None = None
    budget_tokens: Natural | None = None


class ThinkingVariables(Struct):
    """What chat templates call it: Qwen3 and GLM, DeepSeek and Granite, gpt-oss."""

    enable_thinking: bool | None = None
    thinking: bool | None = None
    reasoning_effort: Effort | None = None
    thinking_budget: Natural | None = None


class ThinkingAsked(NamedTuple):
    """How much a request lets the model think, however it is spelt; None: not said."""

    effort: Effort | None
    switch: bool | None
    budget: int | None  # tokens


class ChatRequest(GenerationRequest, kw_only=True):
    messages: list[Message]
    max_completion_tokens: Count | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None
    tools: list[Tool] | None = None
    tool_choice: Literal["none", "auto", "required"] | NamedTool | None = None
    reasoning_effort: Effort | None = None
    thinking_token_budget: Natural | None = None
    thinking_budget: Natural | None = None  # DashScope's name
    reasoning_budget: Annotated[int, Meta(ge=-1)] | None = None  # llama.cpp's; -1: no limit
    thinking: Thinking | None = None
    enable_thinking: bool | None = None  # DashScope's
    chat_template_kwargs: dict[str, Any] | None = None
    response_format: ResponseFormat | None = None

    @property
    def num_logprobs(self) -> int | None:
        return (self.top_logprobs or 0) if self.logprobs else None

    def thinking_asked(self) -> ThinkingAsked:
        """Of several spellings the body's own go before the template's variables, OpenAI's and
        vLLM's names before others. Raises ApiError that names the variable at fault."""
        variables = _read_variables(self.chat_template_kwargs or {})
        thinking = self.thinking or Thinking()
        told = None if thinking.type is None else thinking.type != "disabled"
        no_limit = self.reasoning_budget == -1
        budgets = (
            self.thinking_token_budget,
            self.thinking_budget,
            thinking.budget_tokens,
            None if no_limit else self.reasoning_budget,
            variables.thinking_budget,
        )
        switches = (told, self.enable_thinking, variables.enable_thinking, variables.thinking)
        return ThinkingAsked(
            _first((self.reasoning_effort, variables.reasoning_effort)),
            _first(switches),
            _first(budgets),
        )

    def callable_tools(self) -> list[Tool]:
        """Tools that the answer may call: all, the one named, none. Raises ApiError."""
        choice, tools = self.tool_choice, self.tools or []
        if isinstance(choice, NamedTool):
            name = choice.function.name
            tools = [tool for tool in tools if tool.function.name == name]
            if not tools:
                problem = f"tool_choice names {name!r}, which is not among the tools"
                raise ApiError(400, problem, param="tool_choice")
        elif choice == "required" and not tools:
            raise ApiError(400, "tool_choice is required, but no tools are given", param="tools")
        return [] if choice == "none" else tools


def _first(said: Iterable[_T | None]) -> _T | None:
    return next((one for one in said if one is not None), None)


def _read_variables(settings: dict[str, Any]) -> ThinkingVariables:
    try:
        return msgspec.convert(settings, ThinkingVariables)
    except msgspec.ValidationError as error:
        param = "chat_template_kwargs"
        raise ApiError(400, f"{param}: {error}", param=param) from error


class CompletionRequest(GenerationRequest, kw_only=True):
    prompt: str | list[str | int | list[int]]
    logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None

    @property
    def num_logprobs(self) -> int | None:
        return self.logprobs

    def prompts(self) -> list[str | list[int]]:
        """One or several, each as text or token ids. Raises ApiError for none."""
        return _prompts(self.prompt, "prompt")


def _prompts(given: str | list[str | int | list[int]], param: str) -> list[str | list[int]]:
    if isinstance(given, str):
        return [given]
    ids = [item for item in given if isinstance(item, int)]
    if ids and len(ids) == len(given):
        return [ids]
    several = [item for item in given if not isinstance(item, int)]
    if not several or ids or [] in several:
        problem = f"{param} must be texts or lists of token ids, at least one"
        raise ApiError(400, problem, param=param)
    return several


class EmbeddingRequest(Struct):
    input: str | list[str | int | list[int]]
    model: str | None = None
    encoding_format: Literal["float", "base64"] | None = None

    def prompts(self) -> list[str | list[int]]:
        """One or several, each as text or token ids. Raises ApiError for none."""
        return _prompts(self.input, "input")


class TokenizeRequest(Struct):
    prompt: str | None = None
    content: str | None = None  # llama.cpp's name
    messages: list[Message] | None = None
    tools: list[Tool] | None = None
    chat_template_kwargs: dict[str, Any] | None = None


class DetokenizeRequest(Struct):
    tokens: list[Annotated[int, Meta(ge=0, le=2**32 - 1)]]
