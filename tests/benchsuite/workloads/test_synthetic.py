"""Synthetic prompts."""

from itertools import islice

import msgspec

from benchsuite.workloads.lengths import Fixed, LogNormal, Uniform
from benchsuite.workloads.synthetic import Synthetic
from benchsuite.workloads.tokenizer import load

BUNDLED = load("bundled")
CHAT = Synthetic(
    prompt_tokens=LogNormal(median=100, p99=900, max=800), output_tokens=Uniform(low=1, high=50)
)


def requests(workload, n, seed=1):
    sessions = list(islice(workload.sessions(BUNDLED, seed), n))
    assert [session.id for session in sessions] == list(range(n))
    assert all(session.start_s is None and len(session.requests) == 1 for session in sessions)
    return [session.requests[0] for session in sessions]


def test_the_scenario_words_others_rely_on():
    """Fixed lengths as written in a scenario: every prompt 64 tokens, every output 100."""
    written = {
        "prompt_tokens": {"type": "fixed", "value": 64},
        "output_tokens": {"type": "fixed", "value": 100},
    }
    for request in requests(msgspec.convert(written, Synthetic), 20):
        assert request.prompt_tokens == request.prompt.render().prompt_tokens == 64
        assert request.max_output_tokens == 100
        assert request.ignore_eos


def test_rendered_prompts_have_the_tokens_asked_and_are_all_different():
    """Each prompt is rendered to exactly the length drawn for it."""
    rendered = [(request, request.prompt.render()) for request in requests(CHAT, 100)]
    assert all(prompt.prompt_tokens == request.prompt_tokens for request, prompt in rendered)
    assert len({prompt.messages[0].content for _, prompt in rendered}) == 100


def test_a_shared_prefix_comes_on_top_and_is_the_same_for_all():
    """20 shared tokens in front of 10 own ones: 30 tokens, the first 20 alike."""
    workload = Synthetic(
        prompt_tokens=Fixed(value=10), output_tokens=Fixed(value=1), shared_prefix_tokens=20
    )
    rendered = [request.prompt.render() for request in requests(workload, 10)]
    tokens = [BUNDLED.encode(prompt.messages[0].content) for prompt in rendered]
    assert {len(ids) for ids in tokens} == {30}
    assert len({tuple(ids[:20]) for ids in tokens}) == 1
    assert len({tuple(ids[20:]) for ids in tokens}) == 10


def test_the_seed_decides_everything():
    """Same seed, same prompts and lengths; another seed, others."""

    def drawn(seed):
        return [(r.max_output_tokens, r.prompt.render()) for r in requests(CHAT, 10, seed)]

    assert drawn(1) == drawn(1)
    assert all(a != b for a, b in zip(drawn(1), drawn(2), strict=True))


def test_changing_outputs_leaves_prompts_alone():
    """Lengths of prompts and outputs come from streams of their own."""
    longer = msgspec.structs.replace(CHAT, output_tokens=Fixed(value=999))
    before, after = requests(CHAT, 20), requests(longer, 20)
    assert [r.prompt for r in before] == [r.prompt for r in after]
