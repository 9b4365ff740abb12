"""Draws in place of what random weights cannot decide."""

from statistics import median

from hypothesis import given
from hypothesis import strategies as st

from reference_engine.behaviour import Behaviour


@given(st.floats(0, 1), st.integers(-(2**40), 2**40))
def test_the_share_of_calls_is_the_one_asked_for(share: float, seed: int) -> None:
    """Over many prompts; the same prompt is always answered alike."""
    behaviour = Behaviour(tool_call_share=share)
    calls = [behaviour.calls_tool(seed, [i]) for i in range(400)]
    assert abs(sum(calls) / 400 - share) < 0.15  # six standard deviations
    assert calls == [behaviour.calls_tool(seed, [i]) for i in range(400)]


def test_thinking_is_longer_with_more_effort() -> None:
    """Medians are those of the settings, and nobody thinks without effort."""
    behaviour = Behaviour()
    for effort, tokens in [("minimal", 16), ("low", 64), ("medium", 256), ("high", 1024)]:
        drawn = [behaviour.reasoning_tokens(effort, 0, [i]) for i in range(2000)]  # type: ignore[arg-type]
        assert abs(median(drawn) / tokens - 1) < 0.07
        assert min(drawn) >= 1
    assert behaviour.reasoning_tokens("none", 0, [1]) == 0
    exact = Behaviour(spread=0.0, low_tokens=7)
    assert {exact.reasoning_tokens("low", seed, [1]) for seed in range(9)} == {7}
