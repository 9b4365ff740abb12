"""What a chat answer will be made of: so much thinking, then text or a tool call, held to what.

Whoever's weights are random learns nothing from a prompt, so `Behaviour` draws what the client
leaves open; what the client demands holds for any weights.
"""

from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from reference_engine.behaviour import Behaviour, Effort
from reference_engine.sequence import Guide
from reference_engine.server.answer import Plan
from reference_engine.server.protocol.errors import ApiError
from reference_engine.server.protocol.requests import ChatRequest, NamedTool, ResponseFormat
from reference_engine.server.tokenizer import Tokenizer

if TYPE_CHECKING:
    from reference_engine.server.grammar import Grammars

_ANY_OBJECT: Final = {"type": "object"}
_SOME_OBJECT: Final = {
    "type": "object",
    "properties": {"answer": {"type": "string"}},
    "required": ["answer"],
}
"""What random weights write where any object will do: they would never end one."""


class Planner:
    """Plans for one model. `is_random`: its weights are, so its answers are kept short by bounds
    that schemas leave out; `seed` is the engine's."""

    def __init__(
        self, behaviour: Behaviour, tokenizer: Tokenizer, *, is_random: bool, seed: int
    ) -> None:
        self._behaviour, self._tokenizer = behaviour, tokenizer
        self._is_random, self._seed = is_random, seed

    def needs_grammar(self, request: ChatRequest) -> bool:
        """Whether an answer to it may be held to a grammar."""
        has_format = request.response_format is not None and request.response_format.type != "text"
        return has_format or bool(request.callable_tools())

    def plan(
        self, request: ChatRequest, prompt_ids: list[int], max_tokens: int, index: int
    ) -> tuple[Plan, Guide | None]:
        """The plan for choice `index`, and what holds the answer to it. Raises ApiError."""
        seed = self._seed + (request.seed or 0) + index
        thoughts = min(self._reasoning_tokens(request, seed, prompt_ids), max_tokens)
        functions = {
            tool.function.name: tool.function.parameters or {} for tool in request.callable_tools()
        }
        is_auto = request.tool_choice in (None, "auto")
        if functions and (not is_auto or self._behaviour.calls_tool(seed, prompt_ids)):
            is_forced = isinstance(request.tool_choice, NamedTool)
            return Plan(thoughts, tuple(functions), is_forced), self._caller(functions, thoughts)
        return Plan(thoughts), self._formatter(request.response_format, thoughts)

    def _reasoning_tokens(self, request: ChatRequest, seed: int, prompt_ids: list[int]) -> int:
        asked = request.thinking_asked()
        effort: Effort = asked.effort or self._behaviour.effort
        budget = asked.budget
        if asked.switch is False:
            effort = "none"
        elif (asked.switch or budget) and asked.effort is None and effort == "none":
            effort = "medium"
        if effort != "none" and budget is not None:
            return budget
        return self._behaviour.reasoning_tokens(effort, seed, prompt_ids)

    def _caller(self, functions: Mapping[str, Mapping[str, Any]], start: int) -> Guide:
        from reference_engine.server.grammar import (
            GrammarError,
            bounded,
            call_grammar,
            check_schema,
        )

        # Unless they are asked for, no arguments but those named, as in OpenAI's strict mode.
        closed = {"type": "object", "additionalProperties": False}
        schemas = {name: {**closed, **schema} for name, schema in functions.items()}
        try:
            for schema in schemas.values():
                check_schema(schema)
            if self._is_random:
                schemas = {name: bounded(schema) for name, schema in schemas.items()}
            return self.grammars.guide(call_grammar(schemas), start)
        except GrammarError as error:
            raise ApiError(400, f"tools: {error}", param="tools") from error

    def _formatter(self, wanted: ResponseFormat | None, start: int) -> Guide | None:
        if wanted is None or wanted.type == "text":
            return None
        from reference_engine.server.grammar import (
            GrammarError,
            bounded,
            check_schema,
            schema_grammar,
        )

        schema: Mapping[str, Any] = _SOME_OBJECT if self._is_random else _ANY_OBJECT
        if wanted.type == "json_schema":
            schema = (wanted.json_schema and wanted.json_schema.schema) or {}
        try:
            check_schema(schema)
            if self._is_random:
                schema = bounded(schema)
            return self.grammars.guide(schema_grammar(schema), start)
        except GrammarError as error:
            problem = f"response_format: {error}"
            raise ApiError(400, problem, param="response_format") from error

    @cached_property
    def grammars(self) -> "Grammars":
        """Made when first needed, since it reads the whole vocabulary. Raises ApiError."""
        try:
            from reference_engine.server.grammar import Grammars
        except ModuleNotFoundError as error:
            raise ApiError(
                501,
                "tool calls and response formats need the extra `engine` "
                f'(there is no module {error.name!r}): pip install "benchsuite[engine]"',
            ) from error

        return Grammars(self._tokenizer)
