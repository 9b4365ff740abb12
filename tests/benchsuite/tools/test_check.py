"""What is wrong with a call is said by the first thing that is."""

import pytest

from benchsuite.message import Tool, ToolCall
from benchsuite.tools.check import Fault, arguments, fault

SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
    "required": ["city"],
}
TOOLS = (Tool("weather", "", SCHEMA), Tool("now"))


@pytest.mark.parametrize(
    ("call", "problem"),
    [
        (ToolCall("a", "weather", '{"city": "Oslo", "days": 2}'), None),
        (ToolCall("a", "now", ""), None),
        (ToolCall("a", "now", '{"any": 1}'), None),
        (ToolCall("", "weather", '{"city": "Oslo"}'), "unparsed"),
        (ToolCall("a", "weather", '{"city": "Os'), "malformed_json"),
        (ToolCall("a", "weather", '["Oslo"]'), "malformed_json"),
        (ToolCall("a", "nope", '{"city": "Oslo"}'), "unknown_tool"),
        (ToolCall("a", "weather", '{"days": 2}'), "schema"),
        (ToolCall("a", "weather", '{"city": "Oslo", "days": "two"}'), "schema"),
    ],
)
def test_faults(call: ToolCall, problem: str | None) -> None:
    """Not parsed, no JSON, no such tool, not after its schema; or nothing."""
    found = fault(call, TOOLS)
    assert (found.problem if found else None) == problem


def test_a_fault_says_where() -> None:
    """The path within the arguments, or the names that there are."""
    found = fault(ToolCall("a", "weather", '{"city": "Oslo", "days": "two"}'), TOOLS)
    assert found == Fault("schema", "$.days: 'two' is not of type 'integer'")
    assert fault(ToolCall("a", "f", "{}"), TOOLS) == Fault(
        "unknown_tool", "no tool 'f' (known: weather, now)"
    )


def test_without_tools_only_json_is_judged() -> None:
    """A recording may not say which tools there were."""
    assert fault(ToolCall("a", "f", "{}"), ()) is None
    assert fault(ToolCall("a", "f", "{"), ()) is not None


def test_a_broken_schema_is_no_crash() -> None:
    """BFCL's schemas say `dict` where JSON Schema says `object`."""
    broken = (Tool("f", "", {"type": "dict"}),)
    found = fault(ToolCall("a", "f", "{}"), broken)
    assert found is not None
    assert "schema is broken" in found.detail


def test_arguments() -> None:
    """An object; no text stands for an empty one."""
    assert arguments(ToolCall("a", "f", '{"x": 1}')) == {"x": 1}
    assert arguments(ToolCall("a", "f", "")) == {}
