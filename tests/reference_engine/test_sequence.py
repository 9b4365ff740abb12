"""Sequences: their tokens by position, and when they end."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reference_engine.sequence import Phase, SamplingParams, Sequence


def sequence(prompt: int = 3, *, max_model_len: int | None = None, **params: object) -> Sequence:
    settings = SamplingParams(**{"max_tokens": 5} | params)  # type: ignore[arg-type]
    return Sequence(0, list(range(prompt)), settings, now_s=1.0, max_model_len=max_model_len)


@given(st.integers(1, 9), st.integers(0, 9), st.data())
def test_token_ids_are_a_slice_of_prompt_and_outputs(
    prompt: int, outputs: int, data: st.DataObject
) -> None:
    """Positions run on from the prompt into the outputs."""
    one = sequence(prompt)
    one.output_ids.extend(range(100, 100 + outputs))
    start = data.draw(st.integers(0, prompt + outputs))
    length = data.draw(st.integers(0, prompt + outputs - start))
    everything = one.prompt_ids + one.output_ids
    assert one.token_ids(start, length) == everything[start : start + length]
    assert one.num_tokens == len(everything)


@pytest.mark.parametrize(
    ("params", "sampled", "reason"),
    [
        ({}, 5, "length"),
        ({"stop_token_ids": (12,)}, 3, "stop"),
        ({"stop_token_ids": (14,)}, 5, "stop"),  # the stop token is the last one allowed
        ({"stop_token_ids": (11,), "min_tokens": 3}, 5, "length"),
        ({"stop_token_ids": (12,), "min_tokens": 3}, 3, "stop"),
        ({"stop_token_ids": (12,), "ignore_eos": True}, 5, "length"),
        ({"max_tokens": 1}, 1, "length"),
    ],
)
def test_end(params: dict[str, object], sampled: int, reason: str) -> None:
    """Ends at a stop token, not before min_tokens; else after max_tokens."""
    one = sequence(**params)
    for token in range(10, 20):
        one.append(token, 2.0)
        if one.is_finished:
            break
    assert (len(one.output_ids), one.finish_reason) == (sampled, reason)
    assert one.stamps_s[Phase.FINISHED] == 2.0


def test_model_length_limits_outputs() -> None:
    """The answer ends where the model's positions do."""
    one = sequence(3, max_model_len=5)
    assert one.token_limit == 2
    assert one.max_kv_tokens == 4


def test_stamps_keep_the_first_entry() -> None:
    """A preempted sequence keeps the time at which it first ran; names and phases are both keys."""
    one = sequence()
    one.enter(Phase.PREFILLING, 2.0)
    one.enter(Phase.WAITING, 3.0)
    one.enter(Phase.PREFILLING, 4.0)
    assert one.phase is Phase.PREFILLING
    assert one.stamps_s == {"waiting": 1.0, "prefilling": 2.0}
