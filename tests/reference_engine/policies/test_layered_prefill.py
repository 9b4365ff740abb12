"""Layered prefill: prompts cut by layers."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from reference_engine.policies import LayeredPrefill
from reference_engine.policies.layered_prefill import next_layers
from tests.reference_engine.policies.views import decoding, ids, prefilling, view, waiting


@given(groups=st.integers(1, 40), num_layers=st.integers(1, 64))
def test_groups_follow_each_other_through_all_layers(groups: int, num_layers: int) -> None:
    """No layer is left out or passed twice; as many groups as asked for, if there are layers."""
    ends, done = [0], 0
    while done < num_layers:
        layers = next_layers(done, groups, num_layers)
        assert layers.start == done < layers.stop
        done = layers.stop
        ends.append(done)
    assert done == num_layers
    assert len(ends) - 1 == min(groups, num_layers)
    sizes = [stop - start for start, stop in itertools.pairwise(ends)]
    assert max(sizes) - min(sizes) <= 1


def test_a_prompt_passes_half_the_layers_beside_all_answers() -> None:
    """Two groups for twice the step's tokens; those that wait do so until it is through."""
    policy = LayeredPrefill(step_tokens=50)
    queue = [waiting(1, 100), waiting(2, 5)]
    step = policy.plan(view(waiting=queue, running=[decoding(0, 5)]))
    assert ids(step.decode) == [0]
    assert [(w.sequence.id, w.start, w.length, w.layers) for w in step.prefill] == [
        (1, 0, 100, range(1))
    ]
    begun = prefilling(1, 100, 0)
    begun.num_layers_done = 1
    step = policy.plan(view(waiting=queue[1:], running=[decoding(0, 5), begun]))
    assert [(w.sequence.id, w.start, w.length, w.layers) for w in step.prefill] == [
        (1, 0, 100, range(1, 2))
    ]


def test_short_prompts_go_together() -> None:
    """Up to the step's tokens, through all layers at once."""
    queue = [waiting(i, 20) for i in range(4)]
    step = LayeredPrefill(step_tokens=50).plan(view(waiting=queue))
    assert ids(step.prefill) == [0, 1]
    assert {work.layers for work in step.prefill} == {range(2)}
