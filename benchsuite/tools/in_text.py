"""Tool calls that stand in an answer's text because the server did not recognise them.

They are found by the marks that models are trained to write, and have no id: for the client they
never were calls.
"""

import re
from typing import Final

from benchsuite.message import ToolCall

_MARKED: Final = re.compile(
    r"<tool_call>(?P<hermes>.*?)(?:</tool_call>|$)"  # Hermes, Qwen, GLM
    r"|\[TOOL_CALLS\](?P<mistral>.*)"
    r"|<\|python_tag\|>(?P<llama>.*)"
    r"|<function=(?P<named>.*?)(?:</function>|$)",  # Llama 3.1, Qwen3-Coder
    re.DOTALL,
)


def calls_in_text(text: str) -> tuple[ToolCall, ...]:
    """Calls that stand in an answer's text because the server did not recognise them."""
    found = []
    for match in _MARKED.finditer(text):
        raw = next(group for group in match.groups() if group is not None).strip()
        found.append(ToolCall("", _name(raw), raw))
    return tuple(found)


def _name(raw: str) -> str:
    """The tool's name as far as it can be read."""
    found = re.search(r'"name"\s*:\s*"([^"]*)"', raw) or re.match(r"([\w.-]+)\s*[>({\[]", raw)
    return found[1] if found else ""
