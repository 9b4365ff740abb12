"""Trajectories of tau-bench and tau2-bench (JSONL; Yao et al., 2024; Barres et al., 2025)."""

import re
from collections.abc import Iterator
from typing import Any, ClassVar, Final

import msgspec
from msgspec import Struct

from benchsuite.errors import ScenarioError, TraceError
from benchsuite.spec import DataPath, Spec
from benchsuite.workloads.formats import chat
from benchsuite.workloads.formats.base import Name, TraceRow
from benchsuite.workloads.formats.reading import raw_objects, whole

_SPEAKER: Final = re.compile(r"^(system|user|assistant|tool): ", re.MULTILINE)


class _Row(Struct):
    messages: list[dict[str, Any]]
    task_id: Name
    trial: int = 0
    id: Name | None = None


class TauBench(Spec, frozen=True, tag="tau_bench"):
    """tau-bench and tau2-bench (JSONL): agent, user and tools as recorded, one session a trial.

    Every answer of the agent is a request. `tools` is a JSON file of the schemas by `domain`, since
    the trajectories do not hold them. A first line `{"header": true, ...}` (tau2-bench) gives the
    agent's policy as the system prompt of each session, and stays in the first one's `extra`. Of
    conversations as display text (`messages_display`, a line `role: text` a message) the calls are
    not known: what a tool said is sent as the user's words.
    """

    block_tokens: ClassVar[int] = 1  # the format has no hash ids

    path: DataPath  # the JSONL, plain or gzipped
    tools: DataPath | None = None  # JSON: {domain: [schema ...]}
    domain: str = "airline"  # whose tools the agent has

    def rows(self) -> Iterator[TraceRow | TraceError]:
        tools = None if self.tools is None else _schemas(self.tools, self.domain)
        policy: list[dict[str, Any]] = []
        header: dict[str, Any] = {}
        for line, raw in raw_objects(self.path):
            if isinstance(raw, TraceError):
                yield raw
                continue
            if raw.get("header"):
                policy, header = _policy(raw), {"header": raw}
                continue
            try:
                rows = list(_session(line, raw, policy, tools, header))
            except ValueError as error:
                yield TraceError(self.path, line, str(error))
            else:
                header = {}
                yield from rows


def _session(
    line: int,
    raw: dict[str, Any],
    policy: list[dict[str, Any]],
    tools: list[dict[str, Any]] | None,
    header: dict[str, Any],
) -> Iterator[TraceRow]:
    if "messages_display" in raw:
        extra = header | {key: value for key, value in raw.items() if key != "messages_display"}
        messages = policy + _displayed(raw["messages_display"])
        return chat.session(line, line, messages, tools=tools, extra=extra)
    row = msgspec.convert(raw, _Row)  # its error is a ValueError
    messages = policy + [_answering(message) for message in row.messages]
    session_id = f"{row.task_id}.{row.trial}" if row.id is None else row.id
    extra = header | {key: value for key, value in raw.items() if key != "messages"}
    return chat.session(line, session_id, messages, tools=tools, extra=extra)


def _displayed(text: Any) -> list[dict[str, Any]]:
    """Messages of a text in which each begins a line with its role."""
    if not isinstance(text, str):
        raise ValueError(f"messages_display: expected text, found {text!r:.80}")
    before, *parts = _SPEAKER.split(text)
    if before or not parts:
        raise ValueError(f"messages_display: expected a role and a colon first, found {text!r:.80}")
    said = zip(parts[::2], parts[1::2], strict=True)
    return [
        {"role": "user" if role == "tool" else role, "content": words.removesuffix("\n")}
        | ({"said_by": "tool"} if role == "tool" else {})
        for role, words in said
    ]


def _policy(header: dict[str, Any]) -> list[dict[str, Any]]:
    environment = header.get("info", {}).get("environment_info", {})
    content = environment.get("policy") or environment.get("domain_policy")
    return [{"role": "system", "content": content}] if content else []


def _answering(message: dict[str, Any]) -> dict[str, Any]:
    """tau2-bench calls the id of the call that a tool answers `id`."""
    if message.get("role") == "tool" and "tool_call_id" not in message:
        return {key: value for key, value in message.items() if key != "id"} | {
            "tool_call_id": message.get("id")
        }
    return message


def _schemas(path: str, domain: str) -> list[dict[str, Any]]:
    known = whole(path, dict[str, Any])
    if domain not in known:
        raise ScenarioError(f"{path}: no tools of {domain!r} (known: {', '.join(known)})")
    found = known[domain]
    tools: list[dict[str, Any]] = found["tools"] if isinstance(found, dict) else found
    return [_schema(tool) for tool in tools]


def _schema(tool: dict[str, Any]) -> dict[str, Any]:
    """tau2-bench describes parameters in a flat list; a JSON Schema says the same."""
    parameters = tool.get("parameters")
    if not isinstance(parameters, list):
        return tool
    return tool | {
        "parameters": {
            "type": "object",
            "properties": {
                one["name"]: {"type": one.get("type"), "description": one.get("description")}
                for one in parameters
            },
            "required": [one["name"] for one in parameters if one.get("required")],
        }
    }
