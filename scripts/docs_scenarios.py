"""Writes docs/scenarios.md from the types of a scenario. A test asserts that the file is current.

What a key is for stands in the comment beside its field; only where there is none, in
docs_scenarios.yaml, which has the examples, too. A key that has neither is an error, and so is a
line for a key that does not exist.
"""

import ast
import inspect
import re
import textwrap
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import UnionType
from typing import Any, Final, NamedTuple, get_args

import msgspec
from msgspec import inspect as types

from benchsuite.arrivals import Arrivals
from benchsuite.arrivals.hawkes import HawkesClass
from benchsuite.arrivals.mmpp import MmppState
from benchsuite.arrivals.ramp import RatePoint
from benchsuite.deployment import Deployment
from benchsuite.endpoints import Endpoint
from benchsuite.endpoints.openai_server import Timeouts
from benchsuite.endpoints.reasoning_fields import ReasoningFields
from benchsuite.metrics.accelerators import ACCELERATORS, Accelerator
from benchsuite.metrics.model_shapes import MODELS, ModelShape
from benchsuite.metrics.objectives import Idle, Line, Pace
from benchsuite.metrics.slo import Slo
from benchsuite.metrics.system import Prices
from benchsuite.metrics.validity import Validity
from benchsuite.scenario import Limits, Scenario, Telemetry
from benchsuite.workloads import Workload
from benchsuite.workloads.durations import Durations
from benchsuite.workloads.formats import TraceFormat
from benchsuite.workloads.lengths import Lengths
from benchsuite.workloads.mix import Part
from benchsuite.workloads.multimodal import Pictures, Recordings
from benchsuite.workloads.priorities import Priorities
from benchsuite.workloads.tool_use import ToolKind
from benchsuite.workloads.tools import AgentTool
from benchsuite.workloads.trace import Slice
from benchsuite.yaml_file import read
from reference_engine.behaviour import Behaviour
from reference_engine.config import EngineConfig
from reference_engine.executors import Executor
from reference_engine.model_source import PRESETS
from reference_engine.policies import Policy
from reference_engine.specs import DEVICES, DeviceSpec
from reference_engine.timeouts import ServerTimeouts

PATH: Final = Path(__file__).parents[1] / "docs" / "scenarios.md"


class Group(NamedTuple):
    """A section of the page: one type, or the choices of a union."""

    title: str
    kind: type | UnionType
    where: str

    @property
    def choices(self) -> tuple[type, ...]:
        return get_args(self.kind) or (self.kind,)


GROUPS: Final = (
    Group("Scenario", Scenario, "The top of the file."),
    Group("Endpoints", Endpoint, "`endpoint`: which server, and how it is spoken to."),
    Group("Timeouts", Timeouts, "`endpoint.timeouts`"),
    Group("Reasoning fields", ReasoningFields, "`endpoint.reasoning`"),
    Group("Workloads", Workload, "`workload`: what is asked."),
    Group("Lengths", Lengths, "`workload.prompt_tokens`, `workload.output_tokens` of `synthetic`"),
    Group("Parts", Part, "`workload.parts` of `mix`, by class"),
    Group("Priorities", Priorities, "`priority` of a part of a `mix`"),
    Group("Durations", Durations, "Times of tools: `latency`."),
    Group("Tools", AgentTool, "`workload.tools` of `agent`"),
    Group("Tool kinds", ToolKind, "`workload.tools` of `tool_use`"),
    Group("Pictures", Pictures, "`workload.images` and `workload.video` of `multimodal`"),
    Group("Recordings", Recordings, "`workload.audio` of `multimodal`"),
    Group("Trace formats", TraceFormat, "`workload.source` of `trace`"),
    Group("Slice", Slice, "`workload.slice` of `trace`"),
    Group("Arrivals", Arrivals, "`arrivals`: when the next session starts."),
    Group("Ramp points", RatePoint, "`arrivals.points` of `ramp`"),
    Group("MMPP states", MmppState, "`arrivals.states` of `mmpp`"),
    Group("Hawkes classes", HawkesClass, "`arrivals.classes` of `hawkes`, by name"),
    Group("Limits", Limits, "`limits`"),
    Group("SLOs", Slo, "`slo`, by class of requests"),
    Group("Limits of a request", Line, "a limit of `slo`, where it depends on the request"),
    Group("Pace", Pace, "`slo.<class>.pace`: when a reader wants each token."),
    Group("Idle server", Idle, "`slo.<class>.idle`"),
    Group("Deployment", Deployment, "`deployment`"),
    Group("Model sizes", ModelShape, "`deployment.model`, in numbers"),
    Group("Accelerators", Accelerator, "`deployment.accelerator`, in numbers"),
    Group("Prices", Prices, "`deployment.prices`, or the file that it names"),
    Group("Validity", Validity, "`validity`"),
    Group("Telemetry", Telemetry, "`telemetry`: what is read beside the requests"),
    Group("Engine", EngineConfig, "`endpoint.engine` of `reference_engine` and `in_process`"),
    Group("Behaviour", Behaviour, "`endpoint.engine.behaviour`"),
    Group("Server timeouts", ServerTimeouts, "`endpoint.engine.timeouts`"),
    Group("Executors", Executor, "`endpoint.engine.executor`"),
    Group("Devices", DeviceSpec, "`endpoint.engine.executor.device` of `roofline`, in numbers"),
    Group("Policies", Policy, "`endpoint.engine.policy`"),
)

_TEXT: Final = read(Path(__file__).with_suffix(".yaml")).value
_INTRO: Final[str] = _TEXT["intro"]
_NAMES: Final[dict[str, Iterable[str]]] = {
    "{MODELS}": MODELS,
    "{ACCELERATORS}": ACCELERATORS,
    "{PRESETS}": PRESETS,
    "{DEVICES}": DEVICES,
}
_LINES: Final[dict[str, str]] = _TEXT["lines"]
_EXAMPLES: Final[dict[str, str]] = _TEXT["examples"]


def page() -> str:
    """The whole page."""
    _refuse_gaps()
    contents = "".join(f"- [{group.title}](#{_anchor(group.title)})\n" for group in GROUPS)
    return _INTRO + "\n" + contents + "".join(_section(group) for group in GROUPS)


def _section(group: Group) -> str:
    text = f"\n## {group.title}\n\n{group.where}\n"
    seen: dict[str, str] = {}  # table -> the choice that has it
    for choice in group.choices:
        text += _choice(choice, seen, is_alone=len(group.choices) == 1)
    return text


def _choice(choice: type, seen: dict[str, str], *, is_alone: bool) -> str:
    info = _info(choice)
    text = "" if is_alone else f"\n### `{info.tag}`\n"
    doc = inspect.getdoc(choice)
    assert doc, f"{choice.__name__} has no docstring"
    text += "\n" + "\n\n".join(_reflowed(paragraph) for paragraph in doc.split("\n\n")) + "\n"
    if info.fields:
        table = "".join(_row(choice, field) for field in info.fields)
        same = seen.setdefault(table, str(info.tag))
        header = "| key | value | default | what |\n|---|---|---|---|\n"
        text += f"\nKeys: those of `{same}`.\n" if same != str(info.tag) else f"\n{header}{table}"
    example = _EXAMPLES.get(choice.__name__)
    return text if example is None else f"{text}\n```yaml\n{example.strip()}\n```\n"


def _reflowed(paragraph: str) -> str:
    """Lines of at most 100 characters, with no code cut in two."""
    text = re.sub(r"`[^`]+`", lambda code: code[0].replace(" ", "\0"), " ".join(paragraph.split()))
    lines = textwrap.fill(text, 100, break_long_words=False, break_on_hyphens=False)
    return lines.replace("\0", " ")


def _row(choice: type, field: types.Field) -> str:
    name = f"**`{field.encode_name}`**" if field.required else f"`{field.encode_name}`"
    what = _what(choice, field.name)
    cells = (name, _value(field.type), _default(field), what)
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n"


# What a key is for


def _what(choice: type, name: str) -> str:
    for owner in choice.__mro__:
        if line := _LINES.get(f"{owner.__name__}.{name}") or _comments(owner).get(name):
            for name_of_all, table in _NAMES.items():
                line = line.replace(name_of_all, ", ".join(table))
            return line
    raise ValueError(f"{choice.__name__}.{name}: write a comment beside it that says what it is")


def _comments(owner: type) -> dict[str, str]:
    """Field -> the comment on the line where its definition ends."""
    if not issubclass(owner, msgspec.Struct) or owner is msgspec.Struct:
        return {}
    source = textwrap.dedent(inspect.getsource(owner))
    lines = source.splitlines()
    (tree,) = ast.parse(source).body
    assert isinstance(tree, ast.ClassDef)
    found = {}
    for node in tree.body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            _, has_comment, comment = lines[(node.end_lineno or 0) - 1].partition("  # ")
            if has_comment:
                found[node.target.id] = comment
    return found


# What a value may be


def _value(kind: types.Type) -> str:
    """In words. Bounds of numbers are said; those of texts and lists are not."""
    if isinstance(kind, types.Metadata):
        extra = kind.extra or {}
        if extra.get("unit") == "s":
            return "duration"
        words = {True: "path", "or name": "name or path"}
        return words.get(extra.get("path"), "") or _value(kind.type)
    if isinstance(kind, types.UnionType):
        return _union(kind)
    if isinstance(kind, types.StructType):
        return _link(kind.cls)
    if isinstance(kind, types.LiteralType):
        return ", ".join(f"`{value}`" for value in kind.values)
    if isinstance(kind, types.IntType | types.FloatType):
        return _number(kind)
    if isinstance(kind, types.DictType):
        return f"name: {_value(kind.value_type)}"
    if isinstance(kind, types.VarTupleType):
        return f"list of: {_value(kind.item_type)}"
    words = {types.StrType: "text", types.BoolType: "`true`, `false`", types.AnyType: "anything"}
    return words[type(kind)]


def _union(kind: types.UnionType) -> str:
    parts = [one for one in kind.types if not isinstance(one, types.NoneType)]
    found = dict.fromkeys(_value(one) for one in parts)  # choices of one group are one link
    return " or ".join(found)


def _number(kind: types.IntType | types.FloatType) -> str:
    word = "whole number" if isinstance(kind, types.IntType) else "number"
    bounds = {"≥": kind.ge, ">": kind.gt, "≤": kind.le, "<": kind.lt}
    said = [f"{sign} {bound:g}" for sign, bound in bounds.items() if bound is not None]
    return " ".join([word, ", ".join(said)]).strip()


def _link(cls: type) -> str:
    group = next((group for group in GROUPS if cls in group.choices), None)
    assert group is not None, f"{cls.__name__} belongs to no group of this script"
    return f"[{group.title}](#{_anchor(group.title)})"


def _anchor(title: str) -> str:
    return title.lower().replace(" ", "-")


# Defaults


def _default(field: types.Field) -> str:
    if field.required or field.default is None:
        return "" if field.required else "–"
    value = field.default
    if value is msgspec.NODEFAULT:
        value = field.default_factory()
    if value == "":
        return "–"
    is_duration = isinstance(field.type, types.Metadata) and _value(field.type) == "duration"
    text = _duration(value) if is_duration else _flow(_changed(value))
    return f"`{text}`" if text != "{}" else "its defaults" if field.default is value else "none"


def _duration(value_s: float) -> str:
    return f"{value_s:g}s" if value_s >= 1 or not value_s else f"{value_s * 1e3:g}ms"


def _changed(value: Any) -> Any:
    """A struct as its `type` and what differs from its type's own defaults."""
    if not isinstance(value, msgspec.Struct):
        return value
    info = _info(type(value))
    kept = {info.tag_field: info.tag} if info.tag_field else {}
    for field in info.fields:
        own = getattr(value, field.name)
        if field.required or own != field.default:
            kept[field.encode_name] = _changed(own)
    return kept


def _flow(value: Any) -> str:
    """YAML in one line."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_flow(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)


# Nothing is left out, nothing is left over


def _refuse_gaps() -> None:
    choices = [choice for group in GROUPS for choice in group.choices]
    missing = {cls for cls in _reachable(Scenario) if cls not in choices}
    assert not missing, f"no group of this script holds {missing}"
    known = {
        f"{owner.__name__}.{field.name}"
        for choice in choices
        for owner in choice.__mro__
        for field in _info(choice).fields
    }
    stale = _LINES.keys() - known
    assert not stale, f"the lines have keys that no type has: {sorted(stale)}"
    stale = _EXAMPLES.keys() - {choice.__name__ for choice in choices}
    assert not stale, f"the examples have types that do not exist: {sorted(stale)}"


def _info(cls: type) -> types.StructType:
    info = types.type_info(cls)
    assert isinstance(info, types.StructType)
    return info


def _reachable(cls: type) -> Iterator[type]:
    """`cls` and every type below it that is a section of a scenario."""
    yield cls
    for field in _info(cls).fields:
        yield from _structs(field.type)


def _structs(kind: types.Type) -> Iterator[type]:
    if isinstance(kind, types.StructType):
        yield from _reachable(kind.cls)
    elif isinstance(kind, types.UnionType):
        for one in kind.types:
            yield from _structs(one)
    else:
        for name in ("type", "item_type", "value_type"):
            if isinstance(inner := getattr(kind, name, None), types.Type):
                yield from _structs(inner)


if __name__ == "__main__":
    PATH.parent.mkdir(exist_ok=True)
    PATH.write_text(page(), encoding="utf-8")
    print(f"wrote {PATH}")
