"""What forbids a comparison, and what is only said."""

from typing import Any

import pytest
from msgspec.structs import replace

from benchsuite.comparison.comparable import Seen, differences, refusals
from tests.benchsuite.comparison.sides_of import result


def found(b: dict[str, Any], **changes: Any) -> tuple[list[str], tuple[str, ...]]:
    """Keys that differ, and the sentences that refuse."""
    sides = [[Seen("a", result())], [Seen("b", result(b, **changes))]]
    told = differences(sides)
    return [one.key for one in told], refusals(told)


def test_the_same_question_of_the_same_machine_differs_in_nothing() -> None:
    assert found({}) == ([], ())


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"workload": {"type": "synthetic", "prompt_tokens": {"type": "fixed", "value": 9}}},
         "workload.prompt_tokens.value"),
        ({"workload": {"type": "sharegpt", "path": "x"}}, "workload"),
        ({"arrivals": {"type": "poisson", "rate": 5.0}}, "arrivals.rate"),
        ({"arrivals": {"type": "gamma", "rate": 4.0}}, "arrivals"),
        ({"slo": {"default": {"ttft": 1.0}}}, "slo.default"),
        ({"tokenizer": "other.json"}, "tokenizer"),
        ({"limits": {"warmup": 9.0}}, "limits.warmup"),
        ({"cache": "warm"}, "cache"),
    ],
)  # fmt: skip
def test_another_question_is_refused(change: dict[str, Any], key: str) -> None:
    keys, refused = found(change)
    assert keys == [key]
    assert len(refused) == 1
    assert refused[0].startswith(f"{key} differs (")


@pytest.mark.parametrize(
    "change",
    [
        {"endpoint": {"type": "openai_chat", "url": "http://b", "model": "m"}},
        {"seed": 9},
        {"deployment": {"gpus": 2}},
    ],
)
def test_what_may_be_the_reason_is_listed_and_not_refused(change: dict[str, Any]) -> None:
    keys, refused = found(change)
    assert len(keys) == 1
    assert refused == ()


def test_another_machine_is_listed() -> None:
    elsewhere = replace(result().environment, cpu_model="another")
    assert found({}, environment=elsewhere) == (["environment.cpu_model"], ())


def test_an_invalid_or_incomplete_run_is_refused_with_its_reason() -> None:
    _, refused = found({}, verdict="invalid", reasons=("the client was late",))
    assert refused == ("b: invalid: the client was late",)
    _, refused = found({}, partial="interrupted")
    assert refused == ("b: incomplete: interrupted",)


def test_a_result_of_another_version_is_refused() -> None:
    """Its metrics may be defined otherwise."""
    _, refused = found({}, benchsuite_version="9.9")
    assert refused[0].startswith("benchsuite differs")


def test_runs_of_one_side_have_to_repeat_one_another() -> None:
    """A sweep over an engine's setting is no side."""
    other = {"endpoint": {"type": "openai_chat", "url": "http://a", "model": "other"}}
    sides = [[Seen("1", result()), Seen("2", result(other))], [Seen("b", result())]]
    assert any("within a side" in one for one in refusals(differences(sides)))


def test_what_is_long_is_cut() -> None:
    sides = [
        [Seen("a", result({"workload": {"type": "x", "texts": ["y" * 500] * k}}))] for k in (1, 2)
    ]
    (one,) = differences(sides)
    assert all(len(value) <= 60 for value in one.values)
