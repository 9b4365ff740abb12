"""Tokens from logits: greedy, temperature, top-p, bans."""

from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from reference_engine.model.sampling import (
    Draw,
    invert,
    likeliest,
    nucleus,
    penalise,
    sample,
    uniform,
)
from reference_engine.sequence import SamplingParams, Sequence

GREEDY = Draw(temperature=0.0, top_p=1.0, uniform=0.0)


def random_logits(rows: int, vocab: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(rows, vocab, generator=torch.Generator().manual_seed(seed)) * 3


def test_greedy_takes_the_likeliest_and_the_first_of_equals() -> None:
    """Temperature 0 is argmax, lowest id first."""
    logits = torch.tensor([[0.0, 2.0, 2.0], [5.0, 1.0, -1.0]])
    assert sample(logits, [GREEDY, GREEDY]) == [1, 0]


def test_uniform_is_a_pure_function_of_seed_and_position() -> None:
    """Same pair, same number; neighbouring seeds and positions share nothing."""
    numbers = {(s, p): uniform(s, p) for s in range(-3, 30) for p in range(30)}
    assert all(0.0 <= number < 1.0 for number in numbers.values())
    assert len(set(numbers.values())) == len(numbers)
    assert uniform(3, 5) == numbers[3, 5]
    assert np.mean(list(numbers.values())) == pytest.approx(0.5, abs=0.03)


@given(
    st.lists(st.floats(0, 10, width=32), min_size=1, max_size=400).filter(lambda w: sum(w) > 0.01),
    st.floats(0, 1, exclude_max=True),
)
def test_inverse_finds_where_the_running_sum_passes(weights: list[float], number: float) -> None:
    """The uniform number falls into the token's share of the sum; weight 0 is never drawn."""
    (token,) = invert(torch.tensor([weights]), torch.tensor([[number]], dtype=torch.float64))
    total = sum(weights)
    before = sum(weights[:token])
    assert weights[token] > 0
    assert before - 1e-5 * total <= number * total <= before + weights[token] + 1e-5 * total


@pytest.mark.parametrize("number", [0.0, 1.0 - 2**-53])
def test_the_ends_of_the_unit_interval_draw_real_tokens(number: float) -> None:
    """At 0 and just below 1 the first and last token of weight are drawn, not empty ones."""
    weights = torch.zeros(1, 1000)
    weights[0, 137], weights[0, 777] = 0.1, 0.3
    expected = 137 if number == 0 else 777
    assert invert(weights, torch.tensor([[number]], dtype=torch.float64)) == [expected]


def test_rounding_at_the_edge_of_a_block_draws_no_empty_token() -> None:
    """Where the running sum passes from one block to the next, tokens of weight 0 stay undrawn."""
    weights = torch.rand(2000, 256, generator=torch.Generator().manual_seed(1))
    weights[:, [0, 127, 128, 255]] = 0.0
    sums = weights.view(2000, 2, 128).sum(-1).double()
    edges = sums[:, :1] / sums.sum(-1, keepdim=True)
    for numbers in (edges, edges.nextafter(edges + 1), edges.nextafter(edges - 1)):
        tokens = invert(weights, numbers)
        assert set(tokens) <= {125, 126, 129, 130}


def test_a_last_block_of_next_to_no_weight_is_not_overrun() -> None:
    """Where a block weighs a few roundings of the whole, its only token is drawn, or another's."""
    weights = torch.zeros(500, 300)
    weights[:, 5] = 1.0
    weights[:, 130] = torch.linspace(1e-17, 2e-15, 500)
    numbers = torch.full((500, 1), 1.0 - 2**-53, dtype=torch.float64)
    assert set(invert(weights, numbers)) == {5, 130}


def test_drawn_tokens_follow_the_softmax() -> None:
    """Over evenly spread uniform numbers each token comes as often as its probability says."""
    logits = random_logits(1, 300)
    n = 5_000
    draws = [Draw(temperature=2.0, top_p=1.0, uniform=(i + 0.5) / n) for i in range(n)]
    counts = Counter(sample(logits.expand(n, -1).clone(), draws))
    shares = torch.tensor([counts[token] / n for token in range(300)])
    torch.testing.assert_close(shares, (logits[0] / 2.0).softmax(-1), atol=1.5 / n, rtol=0)


@given(st.integers(0, 1000), st.floats(0.01, 1.0))
def test_nucleus_is_the_smallest_set_that_reaches_top_p(seed: int, top_p: float) -> None:
    """What is kept is likelier than what is not, reaches top_p, and needs its last member to."""
    probabilities = random_logits(1, 50, seed).softmax(-1)
    kept = nucleus(probabilities, torch.tensor([[top_p]]))
    inside = kept[kept > 0]
    assert inside.sum() >= min(top_p, 1.0) - 1e-5
    assert (inside.sum() - inside.min()) < top_p + 1e-5
    assert (probabilities[kept == 0] < inside.min()).all()


@pytest.mark.parametrize("tiny", [1e-30, 1e-46, 1e-300, 5e-324])
def test_a_temperature_or_top_p_next_to_nothing_takes_the_likeliest(tiny: float) -> None:
    """What float32 would round to 0 harms no row, neither its own nor a neighbour's."""
    logits = random_logits(3, 300)
    likeliest = logits.argmax(-1).tolist()
    draws = [Draw(tiny, 1.0, 0.7), Draw(1.0, tiny, 0.7), Draw(1e-3, 1.0, 0.7)]
    assert sample(logits.clone(), draws) == likeliest


def test_top_p_of_one_keeps_every_token_beside_a_smaller_one() -> None:
    """Rows with their own top_p do not disturb each other."""
    probabilities = random_logits(2, 50).softmax(-1)
    kept = nucleus(probabilities, torch.tensor([[1.0], [0.3]]))
    assert torch.equal(kept[0], probabilities[0])
    assert 0 < (kept[1] > 0).sum() < 50


def test_a_row_draws_the_same_token_alone_and_in_any_company() -> None:
    """Batches mixing greedy, warm and top-p rows give each row its own token."""
    draws = [
        Draw(0.7, 1.0, 0.31),
        GREEDY,
        Draw(1.0, 0.8, 0.9),
        Draw(1.3, 0.4, 0.05, banned=(3,)),
        Draw(0.0, 0.5, 0.99),
    ]
    logits = random_logits(5, 640)
    alone = [sample(logits[i : i + 1].clone(), [draw])[0] for i, draw in enumerate(draws)]
    assert sample(logits.clone(), draws) == alone


def test_banned_tokens_are_never_chosen() -> None:
    """Greedy or warm, a banned id gives way to another; ids beyond the vocabulary are ignored."""
    logits = torch.zeros(2, 4)
    logits[:, 2] = 50.0
    logits[:, 1] = 10.0
    draws = [Draw(0.0, 1.0, 0.0, (2, 99)), Draw(1.0, 1.0, 0.999, (2,))]
    assert sample(logits, draws) == [1, 1]


def test_a_tiny_temperature_is_greedy_not_nan() -> None:
    """Temperatures near zero must not overflow."""
    logits = random_logits(1, 64) * 1e4
    assert sample(logits.clone(), [Draw(1e-30, 0.9, 0.7)]) == sample(logits, [GREEDY])


def test_only_what_is_allowed_comes() -> None:
    """Greedy or drawn, whatever the logits; ids beyond the mask are not allowed, and rows without
    one are left alone."""
    logits = torch.arange(12.0).repeat(3, 1)
    allowed = np.zeros(10, dtype=bool)
    allowed[[3, 5]] = True
    draws = [GREEDY._replace(allowed=allowed), Draw(1.0, 1.0, 0.01, (), allowed), GREEDY]
    assert sample(logits, draws) == [5, 3, 11]


def test_top_k_and_min_p_leave_out_the_unlikely() -> None:
    """With what is left the draw goes on; each row has its own."""
    probabilities = torch.tensor([0.4, 0.3, 0.2, 0.1])
    logits = probabilities.log().repeat(400, 1)
    draws = [Draw(1.0, 1.0, (i + 0.5) / 400, top_k=2) for i in range(400)]
    assert Counter(sample(logits.clone(), draws)) == {0: 229, 1: 171}  # 4/7 and 3/7
    draws = [Draw(1.0, 1.0, (i + 0.5) / 400, min_p=0.45) for i in range(400)]
    assert set(sample(logits.clone(), draws)) == {0, 1, 2}
    mixed = [Draw(1.0, 1.0, 0.99), Draw(1.0, 1.0, 0.99, top_k=1), Draw(1.0, 0.5, 0.99, min_p=0.6)]
    assert sample(logits[:3].clone(), mixed) == [3, 0, 0]


def test_penalties_follow_their_definitions() -> None:
    """Presence once, frequency by count, over outputs; repetition over prompt and outputs, dividing
    what is positive and multiplying what is negative."""
    params = SamplingParams(max_tokens=9, presence_penalty=0.5, frequency_penalty=0.25)
    sequence = Sequence(0, [0, 9], params)
    sequence.output_ids = [1, 1, 2]
    logits = torch.zeros(4)
    penalise(logits, sequence)
    assert logits.tolist() == [0.0, -1.0, -0.75, 0.0]
    sequence.params = SamplingParams(max_tokens=9, repetition_penalty=2.0)
    logits = torch.tensor([1.0, -1.0, 3.0, 5.0])
    penalise(logits, sequence)
    assert logits.tolist() == [0.5, -2.0, 1.5, 5.0]


def test_logprobs_are_the_models_own() -> None:
    """Of the token and of the likeliest, likeliest first."""
    logprobs = torch.tensor([0.1, 0.7, 0.2]).log()
    told = likeliest(logprobs, 0, 2)
    assert told.chosen == pytest.approx(np.log(0.1))
    assert [token for token, _ in told.likeliest] == [1, 2]
    assert likeliest(logprobs, 1, 9).likeliest[0] == (1, pytest.approx(np.log(0.7)))


@pytest.mark.parametrize("factor", [1e-320, 1e-30, 1e300])
@pytest.mark.parametrize("temperature", [1.0, 1e-30])
def test_extreme_penalties_leave_something_to_draw(factor: float, temperature: float) -> None:
    """No infinity, which would fail a whole batch: what was not there before may still come."""
    sequence = Sequence(0, [0, 1, 2], SamplingParams(max_tokens=9, repetition_penalty=factor))
    logits = torch.tensor([[9.0, -9.0, 0.0, 1.0]])
    penalise(logits[0], sequence)
    assert logits.isfinite().all()
    [token] = sample(logits, [Draw(temperature, 1.0, 0.999)])
    assert token == (0 if factor < 1 else 3)
