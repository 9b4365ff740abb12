"""Numbers of scheduling papers: V19, V23 and V26 of the test vectors."""

import numpy as np
import pytest

from benchsuite.metrics.fairness import jain
from benchsuite.metrics.slo import Slo
from benchsuite.metrics.slo_metrics import slo_metrics
from reference_engine.policies import ChunkedPrefill, LayeredPrefill
from reference_engine.policies.base import WorkerView
from reference_engine.sequence import Sequence
from tests.reference_engine.policies.views import prefilling, view, waiting
from tests.runs import record, run

NUM_LAYERS = 48  # of Qwen3-30B-A3B, which the paper measures


def _first(prompt: int) -> WorkerView:
    return view(waiting=[waiting(0, prompt)], num_layers=NUM_LAYERS, free_blocks=prompt)


def _next(begun: Sequence) -> WorkerView:
    return view(running=[begun], num_layers=NUM_LAYERS)


@pytest.mark.parametrize(("prompt", "num_steps"), [(9194, 18), (2340, 5)])
def test_v19_layered_prefill_reads_each_expert_once(prompt: int, num_steps: int) -> None:
    """Layered Prefill (arXiv:2510.08055): prompts of 9,194 and 2,340 tokens pass 18 and 5 groups of
    layers, so that each layer is read once; chunks of 512 are as many, each through all layers."""
    policy, begun = LayeredPrefill(step_tokens=512), prefilling(0, prompt, 0)
    (work,) = policy.plan(_first(prompt)).prefill
    passed = [work.layers]
    while work.layers.stop < NUM_LAYERS:
        begun.num_layers_done = work.layers.stop
        (work,) = policy.plan(_next(begun)).prefill
        assert work.length == prompt
        passed.append(work.layers)
    assert len(passed) == num_steps
    assert [layer for group in passed for layer in group] == list(range(NUM_LAYERS))

    chunked = ChunkedPrefill(token_budget=512)
    (work,) = chunked.plan(_first(prompt)).prefill
    num_chunks, done = 1, work.length
    while done < prompt:
        (work,) = chunked.plan(_next(prefilling(0, prompt, done))).prefill
        num_chunks, done = num_chunks + 1, done + work.length
    assert (num_chunks, done) == (num_steps, prompt)


@pytest.mark.parametrize(
    ("service", "index"), [((1, 1, 1, 1), 1.0), ((4, 0, 0, 0), 0.25), ((3, 1), 0.8)]
)
def test_v23_jain_index(service: tuple[int, ...], index: float) -> None:
    """Jain et al. (DEC-TR-301): 1 if all get the same, 1 / n if one gets everything."""
    assert jain(np.array(service, dtype=np.float64)) == index


@pytest.mark.parametrize(("ends_s", "total_s"), [((4.0, 1.0), 1.0), ((3.0, 4.0), 2.0)])
def test_v26_tardiness_of_two_jobs(ends_s: tuple[float, float], total_s: float) -> None:
    """Jobs of 3 s and 1 s with deadlines 3 s and 2 s, on one machine: earliest deadline first is
    1 s late in all, longest first 2 s."""
    slos = {"long": Slo(e2e_latency=3.0), "short": Slo(e2e_latency=2.0)}
    data = run(
        *(
            record(i, due_s=0.0, slo_class=name, chunks=((end_s, 1),))
            for i, (name, end_s) in enumerate(zip(slos, ends_s, strict=True))
        )
    )
    (tardiness,) = (one for one in slo_metrics(slos) if one.name == "tardiness")
    assert tardiness.values(data).sum() == total_s
