"""Identities of papers on scheduling, on virtual time and in the arithmetic of its costs."""

import pytest

from reference_engine.executors.costs import distinct_experts, step_cost
from reference_engine.model_source import PRESETS
from reference_engine.policies import ChunkedPrefill, LayeredPrefill, Policy
from reference_engine.sequence import Phase, SamplingParams, Sequence
from reference_engine.specs import ModelShape
from reference_engine.step import Step
from tests.reference_engine.policies.views import view

MOE, DENSE = PRESETS["qwen3-30b-a3b"], PRESETS["llama-3-8b"]


def steps_of(policy: Policy, prompt: int, shape: ModelShape) -> list[Step]:
    """One prompt alone, from its first step to its first token."""
    one = Sequence(0, [1] * prompt, SamplingParams(max_tokens=1))
    steps = []
    while one.num_computed_tokens < prompt:
        queue = [one] if one.phase is Phase.WAITING else []
        seen = view(
            waiting=queue,
            running=[] if queue else [one],
            free_blocks=10**6,
            num_layers=shape.num_layers,
        )
        step = policy.plan(seen)
        steps.append(step)
        (work,) = step.prefill
        one.phase = Phase.PREFILLING
        one.num_layers_done = work.layers.stop % shape.num_layers
        if work.layers.stop == shape.num_layers:
            one.num_computed_tokens += work.length
    return steps


def expert_bytes(steps: list[Step], shape: ModelShape) -> float:
    """Distinct experts times their size, over layers and steps."""
    loads = [
        len(work.layers) * distinct_experts(work.length, shape)
        for step in steps
        for work in step.prefill
    ]
    return sum(loads) * shape.expert_params * shape.dtype_bytes


@pytest.mark.parametrize(("prompt", "steps"), [(9194, 18), (2340, 5)])
def test_layered_prefill_takes_as_many_steps_as_chunks(prompt: int, steps: int) -> None:
    """Layered Prefill (arXiv:2510.08055): ceil(L / 512) groups, of 9,194 tokens 18, of 2,340 five;
    chunks of 512 take as many steps."""
    layered = steps_of(LayeredPrefill(step_tokens=512), prompt, MOE)
    chunked = steps_of(ChunkedPrefill(token_budget=512), prompt, MOE)
    assert len(layered) == len(chunked) == steps
    assert sum(len(step.prefill[0].layers) for step in layered) == MOE.num_layers
    assert all(len(step.prefill[0].layers) == MOE.num_layers for step in chunked)


@pytest.mark.parametrize("prompt", [512, 2340, 9194])
def test_layered_prefill_loads_each_expert_once(prompt: int) -> None:
    """One pass of all experts, however long the prompt; chunks load them ceil(L / c) times."""
    all_experts = MOE.num_layers * MOE.num_experts * MOE.expert_params * MOE.dtype_bytes
    layered = expert_bytes(steps_of(LayeredPrefill(step_tokens=512), prompt, MOE), MOE)
    chunked = expert_bytes(steps_of(ChunkedPrefill(token_budget=512), prompt, MOE), MOE)
    assert layered == pytest.approx(all_experts, rel=1e-6)
    assert chunked == pytest.approx(-(-prompt // 512) * all_experts, rel=1e-6)


def test_layered_prefill_does_the_same_arithmetic() -> None:
    """Cut by layers or by tokens, FLOPs are the same, of a dense model too."""
    for shape in (MOE, DENSE):
        flops = [
            sum(step_cost(step, shape).flops for step in steps_of(policy, 9194, shape))
            for policy in (LayeredPrefill(step_tokens=512), ChunkedPrefill(token_budget=512))
        ]
        assert flops[0] == pytest.approx(flops[1], rel=1e-9)
