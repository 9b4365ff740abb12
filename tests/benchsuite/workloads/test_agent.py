"""Agents' sessions: a task, tools, and turns in reserve."""

from itertools import islice
from pathlib import Path
from typing import Any

import msgspec
import pytest

from benchsuite.message import Message
from benchsuite.workloads import tokenizer as tokenizers
from benchsuite.workloads.agent import Agent
from benchsuite.workloads.lengths import Fixed, Uniform
from benchsuite.workloads.questions import Questions
from benchsuite.workloads.synthetic import Synthetic
from benchsuite.workloads.tools import Python, Stub

TOKENIZER = tokenizers.load("bundled")
TASKS = Synthetic(prompt_tokens=Fixed(30), output_tokens=Fixed(20))


def agent(**more: Any) -> Agent:
    return Agent(**{"tasks": TASKS, "tools": (Stub("look"), Python())} | more)


def test_a_session_is_a_task_and_turns_that_go_on() -> None:
    """Only the first turn says something; all offer the tools; none is forced to a length."""
    first, second = islice(agent(max_turns=3, system="Be brief.").sessions(TOKENIZER, 1), 2)
    assert [request.id for request in (*first.requests, *second.requests)] == list(range(6))
    opening, *later = [request.prompt.render().messages for request in first.requests]
    assert [message.role for message in opening] == ["system", "user"]
    assert later == [(), ()]
    for request in first.requests:
        assert [tool.name for tool in request.tools] == ["look", "python"]
        assert (request.tool_choice, request.ignore_eos) == (None, False)
    assert first.box is not None
    offered = msgspec.json.encode(first.box.tools).decode()  # servers write them into the prompt
    ahead = TOKENIZER.count("Be brief.") + TOKENIZER.count(offered)
    assert first.requests[0].prompt_tokens == 30 + ahead
    assert first.requests[0].prompt.render().prompt_tokens == 30 + ahead


def test_turns_can_be_made_to_call() -> None:
    """So many required, then none; never more turns than allowed."""
    what = agent(calls=Uniform(1, 3), max_turns=3)
    found = {
        tuple(request.tool_choice for request in session.requests)
        for session in islice(what.sessions(TOKENIZER, 1), 30)
    }
    assert found == {("required", "none"), ("required",) * 2 + ("none",), ("required",) * 3}


def test_questions_are_tasks_too(tmp_path: Path) -> None:
    """Their answers are graded; it ends when they do."""
    path = tmp_path / "q.jsonl"
    path.write_text('{"question": "6 * 7?", "answer": "42"}\n')
    tasks = Questions(path=str(path), grader="number", max_output_tokens=9)
    what = agent(tasks=tasks)
    (session,) = what.sessions(TOKENIZER, 1)
    assert (session.requests[-1].expected, what.is_endless) == ("42", False)
    assert session.requests[0].prompt.render().messages == (Message("user", "6 * 7?"),)


def test_tools_need_names_of_their_own() -> None:
    """A call could mean either."""
    with pytest.raises(ValueError, match="a name of its own"):
        agent(tools=(Stub("look"), Stub("look")))
