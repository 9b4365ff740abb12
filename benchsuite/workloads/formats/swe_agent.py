"""Trajectories of SWE-agent (.traj as JSON or JSONL; Yang et al., NeurIPS 2024)."""

from collections.abc import Iterator
from typing import Any, ClassVar

from msgspec import Struct

from benchsuite.errors import TraceError
from benchsuite.spec import DataPath, Spec
from benchsuite.workloads.formats import chat
from benchsuite.workloads.formats.base import TraceRow
from benchsuite.workloads.formats.reading import Found, sessions


class _Step(Struct):
    response: str | None = None  # of the model
    execution_time: float | None = None


class _Row(Struct):
    history: list[dict[str, Any]]
    trajectory: list[_Step] = []
    path: str | None = None


class SweAgent(Spec, frozen=True, tag="swe_agent"):
    """SWE-agent trajectories (JSON or JSONL): what the agent said, and what the shell answered.

    Each answer of `history` is a request. The gap before it is the recorded `execution_time` of the
    step before it, where a step is known for each answer; else 0. A last step that submits is not
    always in `history`: its answer is the trajectory's then.
    """

    block_tokens: ClassVar[int] = 1  # the format has no hash ids

    path: DataPath  # JSON or JSONL, plain or gzipped, or a folder of them

    def rows(self) -> Iterator[TraceRow | TraceError]:
        return sessions(self.path, _Row, _session)


def _session(place: Found, row: _Row) -> Iterator[TraceRow]:
    history, steps = list(row.history), row.trajectory
    answers = [at for at, raw in enumerate(history) if raw.get("role") == "assistant"]
    if len(steps) == len(answers) + 1 and _is_followed(history, answers, steps):
        answers.append(len(history))
        history.append({"role": "assistant", "content": steps[-1].response})
    gaps_s: dict[int, float] = {}
    if len(answers) == len(steps):
        for at, step in zip(answers, steps, strict=True):
            gaps_s[at + 1] = step.execution_time or 0.0
    extra = {key: value for key, value in place.raw.items() if key != "history"}
    messages = [_answering(message) for message in history]
    return chat.session(place.line, row.path or place.line, messages, gaps_s=gaps_s, extra=extra)


def _is_followed(history: list[dict[str, Any]], answers: list[int], steps: list[_Step]) -> bool:
    """Whether the last step answers what the history ends with: all before it are in there."""
    said = [history[at].get("content") for at in answers]
    return history[-1].get("role") != "assistant" and said == [one.response for one in steps[:-1]]


def _answering(message: dict[str, Any]) -> dict[str, Any]:
    ids = message.get("tool_call_ids")
    return message | {"tool_call_id": ids[0]} if ids else message
