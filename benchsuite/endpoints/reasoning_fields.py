"""Where a request says how much the model shall think: servers agree on no field for it.

Seen (2026): `reasoning_effort` (OpenAI, vLLM, SGLang, llama.cpp for gpt-oss),
`chat_template_kwargs.reasoning_effort` (templates that take it as a variable),
`chat_template_kwargs.enable_thinking` (Qwen3, GLM), `chat_template_kwargs.thinking` (DeepSeek,
Granite); for a budget `thinking_token_budget` (vLLM), `thinking_budget` (DashScope),
`thinking.budget_tokens` (Anthropic), `reasoning_budget` (llama.cpp).
"""

from typing import Any, Final

from benchsuite.request import Request
from benchsuite.spec import Spec

NOT_AT_ALL: Final = "none"


class ReasoningFields(Spec, frozen=True):
    """The body's fields, dotted where one lies in another. Only what a request asks is sent."""

    effort: str | None = "reasoning_effort"  # its word: none, minimal, low, medium, high ...
    switch: str | None = None  # true unless the effort is `none`
    budget: str | None = "thinking_token_budget"  # most tokens of reasoning

    def added(self, fields: dict[str, Any], request: Request) -> dict[str, Any]:
        """`fields` and what `request` asks; a field that is there already stays as it is."""
        asked: list[tuple[str | None, Any]] = []
        if request.effort is not None:
            asked.append((self.effort, request.effort))
            asked.append((self.switch, request.effort != NOT_AT_ALL))
        if request.thinking_budget is not None:
            asked.append((self.budget, request.thinking_budget))
        for place, value in asked:
            if place is not None:
                fields = _with(fields, place.split("."), value)
        return fields


COMMON_FIELDS: Final = ReasoningFields()


def _with(fields: dict[str, Any], place: list[str], value: Any) -> dict[str, Any]:
    name, *inner = place
    if not inner:
        return {name: value} | fields
    within = fields.get(name, {})
    return fields | {name: _with(within, inner, value)} if isinstance(within, dict) else fields
