"""Tool-integrated sessions are drawn as described, and each turn begins with the one before."""

from collections import Counter
from itertools import islice, pairwise

import pytest

from benchsuite.message import Message
from benchsuite.request import Session
from benchsuite.workloads import tokenizer as tokenizers
from benchsuite.workloads.durations import FixedTime, UniformTime
from benchsuite.workloads.lengths import Fixed, Uniform
from benchsuite.workloads.tool_use import ToolKind, ToolUse

TOKENIZER = tokenizers.load("bundled")
WORKLOAD = ToolUse(
    turns=Uniform(1, 5),
    prompt_tokens=Fixed(40),
    output_tokens=Uniform(20, 60),
    shared_prefix_tokens=24,
    tools=(
        ToolKind("search", weight=3, latency=FixedTime(0.5), result_tokens=Fixed(30)),
        ToolKind("python", latency=UniformTime(1, 2), result_tokens=Fixed(10), failures=0.5),
    ),
)


def sessions(num: int, seed: int = 1) -> list[Session]:
    return list(islice(WORKLOAD.sessions(TOKENIZER, seed), num))


def test_turns_begin_with_the_turn_before() -> None:
    """Messages of a turn are those of the one before, a call and its result."""
    session = next(one for one in sessions(20) if len(one.requests) >= 3)
    prompts = [request.prompt.render().messages for request in session.requests]
    for before, after in pairwise(prompts):
        assert after[: len(before)] == before
        call, result = after[len(before) :]
        assert isinstance(call, Message)
        assert call.tool_calls[0].id == result.tool_call_id
        assert result.role == "tool"


def test_lengths_are_those_asked() -> None:
    """What a call and a result hold is counted as it is; the prompt is their sum."""
    for session in sessions(10):
        for request in session.requests:
            rendered = request.prompt.render()
            assert rendered.prompt_tokens == pytest.approx(request.prompt_tokens, rel=0.06)
            assert 20 <= request.max_output_tokens <= 60


def test_the_time_of_a_tool_is_the_gap() -> None:
    """And its result is on record with the request that brings it."""
    found = Counter[str]()
    failed = 0
    for session in sessions(200):
        assert len(session.gaps_s) == len(session.requests) - 1
        assert session.requests[0].results == ()
        for gap_s, request in zip(session.gaps_s, session.requests[1:], strict=True):
            (result,) = request.results
            assert result.latency_s == gap_s
            assert gap_s == 0.5 if result.name == "search" else 1 <= gap_s <= 2
            found[result.name] += 1
            failed += result.exit_code
    assert found["search"] / found.total() == pytest.approx(0.75, abs=0.06)
    assert failed / found["python"] == pytest.approx(0.5, abs=0.12)


def test_ids_count_over_sessions_and_a_seed_fixes_all() -> None:
    """Another process draws the same; another seed does not."""
    ids = [request.id for session in sessions(20) for request in session.requests]
    assert ids == list(range(len(ids)))
    texts = [
        [[request.prompt.render() for request in one.requests] for one in sessions(5, seed)]
        for seed in (1, 1, 2)
    ]
    assert texts[0] == texts[1] != texts[2]
