"""Mixes: shares, classes, what a part's requests tell, priorities as processes."""

from collections import Counter
from itertools import islice, pairwise
from pathlib import Path

import msgspec
import pytest

from benchsuite.request import Session
from benchsuite.streams import rng
from benchsuite.workloads import Mix, Questions, Synthetic, Workload, tokenizer
from benchsuite.workloads.lengths import Fixed
from benchsuite.workloads.mix import Part
from benchsuite.workloads.priorities import MarkovPriority, RandomPriority

TOKENIZER = tokenizer.load("bundled")
SHORT = Synthetic(prompt_tokens=Fixed(value=9), output_tokens=Fixed(value=1))
TWO = {"chat": Part(SHORT, weight=3), "code": Part(SHORT)}


def drawn(mix: Mix, num: int, seed: int = 1) -> list[Session]:
    return list(islice(mix.sessions(TOKENIZER, seed), num))


def levels(priority: object, num: int) -> list[int]:
    mix = Mix(parts={"one": Part(SHORT, priority=priority)})  # type: ignore[arg-type]
    return [session.requests[0].priority for session in drawn(mix, num)]  # type: ignore[misc]


def test_parts_come_by_weight_and_ids_count_up() -> None:
    """Shares within 5 standard errors; a longer mix begins like a shorter one."""
    sessions = drawn(Mix(parts=TWO), 4000)
    counts = Counter(session.requests[0].slo_class for session in sessions)
    assert counts["chat"] == pytest.approx(3000, abs=5 * (4000 * 0.75 * 0.25) ** 0.5)
    assert [session.id for session in sessions] == list(range(4000))
    assert [session.requests[0].id for session in sessions] == list(range(4000))
    assert drawn(Mix(parts=TWO), 50) == sessions[:50]


def test_parts_ask_different_things() -> None:
    """Two equal workloads in one mix have texts of their own; each seed has others."""
    texts = [
        session.requests[0].prompt.render().messages[0].content
        for seed in (1, 2)
        for session in drawn(Mix(parts=TWO), 40, seed)
    ]
    assert len(set(texts)) == 80


def test_adding_a_part_leaves_the_others_words_alone() -> None:
    """A part draws by its own name."""
    more = Mix(parts={**TWO, "late": Part(SHORT)})
    firsts = [
        next(one for one in drawn(mix, 99) if one.requests[0].slo_class == "code")
        for mix in (Mix(parts=TWO), more)
    ]
    assert firsts[0].requests[0].prompt.render() == firsts[1].requests[0].prompt.render()


def test_a_part_s_requests_tell_who_asks() -> None:
    """Priority, tenant and model of the part; a part without them tells nothing."""
    told = Part(SHORT, priority=-1, tenant="acme", model="adapter")
    sessions = drawn(Mix(parts={"a": told, "b": Part(SHORT)}), 50)
    seen = {
        (one.slo_class, one.priority, one.tenant, one.model)
        for session in sessions
        for one in session.requests
    }
    assert seen == {("a", -1, "acme", "adapter"), ("b", None, None, None)}


def test_a_mix_ends_with_the_first_part_that_does(tmp_path: Path) -> None:
    """So that the shares hold to the end; then it is not endless."""
    path = tmp_path / "questions.jsonl"
    path.write_text('{"question": "1+1?", "answer": "2"}\n' * 5)
    asked = Questions(path=str(path), grader="number", max_output_tokens=9)
    mix = Mix(parts={"quiz": Part(asked), "chat": Part(SHORT)})
    counts = Counter(session.requests[0].slo_class for session in drawn(mix, 99))
    assert counts["quiz"] == 5
    assert not mix.is_endless
    assert Mix(parts=TWO).is_endless


def test_parts_do_not_vote_on_each_others_questions(tmp_path: Path) -> None:
    """Two quizzes of one file: a group is a question of one part, a batch's questions are too."""
    path = tmp_path / "questions.jsonl"
    path.write_text('{"question": "1+1?", "answer": "2"}\n' * 6)
    votes = Questions(path=str(path), grader="number", max_output_tokens=9, samples=2)
    batches = Questions(path=str(path), grader="number", max_output_tokens=9, batch_size=3)
    parts = {"a": Part(votes), "b": Part(votes), "c": Part(batches), "d": Part(batches)}
    asked = [session.requests[0] for session in drawn(Mix(parts=parts), 99)]
    groups = {(one.group, one.slo_class) for one in asked if one.group is not None}
    questions = {(q.id, one.slo_class) for one in asked for q in one.batch}
    assert {name for _, name in groups} == {"a", "b"}
    assert {name for _, name in questions} == {"c", "d"}
    assert len({group for group, _ in groups}) == len(groups)
    assert len({question for question, _ in questions}) == len(questions)


def test_random_priorities_are_drawn_anew_by_weight() -> None:
    """Each request for itself."""
    found = levels(RandomPriority(levels=(0, 7), weights=(3, 1)), 2000)
    assert found.count(0) == pytest.approx(1500, abs=100)
    changes = sum(one != other for one, other in pairwise(found))
    assert changes == pytest.approx(2 * 0.75 * 0.25 * 2000, abs=110)


def test_markov_priorities_stay_and_move() -> None:
    """All levels alike in the long run; a change with probability 1 - stay."""
    found = levels(MarkovPriority(levels=(0, 1, 2), stay=0.8), 6000)
    changes = sum(one != other for one, other in pairwise(found))
    assert changes == pytest.approx(1200, abs=160)
    for level, count in Counter(found).items():
        assert count == pytest.approx(2000, abs=300), level
    assert levels(MarkovPriority(levels=(4, 5), stay=1), 20) in ([4] * 20, [5] * 20)


def test_scenario_words() -> None:
    """A priority is a number or a process."""
    part = {"workload": msgspec.to_builtins(SHORT), "priority": 2}
    process = {"type": "markov", "levels": [0, 1], "stay": 0.9}
    written = {"type": "mix", "parts": {"a": part, "b": {**part, "priority": process}}}
    mix = msgspec.convert(written, Workload)
    assert isinstance(mix, Mix)
    assert mix.parts["a"].priority == 2
    assert mix.parts["b"].priority == MarkovPriority(levels=(0, 1), stay=0.9)


def test_what_cannot_be_is_refused() -> None:
    """No parts, or weights that fit no levels."""
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"type": "mix", "parts": {}}, Workload)
    with pytest.raises(ValueError, match="2 levels but 1 weights"):
        RandomPriority(levels=(1, 2), weights=(1,))
    assert next(RandomPriority(levels=(3,)).draw(rng(1))) == 3
