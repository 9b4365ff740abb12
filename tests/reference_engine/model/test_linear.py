"""Matrices in 8 bits give nearly what the matrices give, and the same stories."""

import pytest
import torch
from hypothesis import given
from hypothesis import settings as example_settings
from hypothesis import strategies as st

from reference_engine.model.attention import Piece
from reference_engine.model.cache import KvCache, KvShape
from reference_engine.model.linear import Dense, Int8
from reference_engine.model.mlp import Experts, SwiGlu
from reference_engine.model.transformer import Transformer
from reference_engine.model.weights import load
from reference_engine.model_source import ModelSource
from tests.reference_engine.model.stories import FOLDER, stories

CPU = torch.device("cpu")


@example_settings(max_examples=20)
@given(st.integers(1, 40), st.integers(1, 300), st.integers(1, 200), st.booleans())
def test_eight_bits_are_nearly_the_matrix(
    num_tokens: int, inputs: int, outputs: int, has_bias: bool
) -> None:
    """Of any sizes; an output of zeros, whose scale would be zero, stays zeros."""
    torch.manual_seed(num_tokens)
    weight, x = torch.randn(inputs, outputs), torch.randn(num_tokens, inputs)
    weight[:, 0] = 0
    bias = torch.randn(outputs) if has_bias else None
    expected, found = Dense(weight, bias)(x), Int8(weight, bias)(x)
    assert torch.equal(found[:, 0], expected[:, 0])
    spread = 4.0 * inputs**0.5  # of a sum of products of unit variance
    assert (found - expected).abs().max() < 0.03 * spread
    residual = torch.randn(num_tokens, outputs)
    torch.testing.assert_close(Int8(weight).add(residual, x), residual + Int8(weight)(x))


def test_stories_in_eight_bits_are_nearly_the_stories() -> None:
    """Of a trained model: the distribution of next tokens moves by less than 0.03 nats in the mean,
    and the likeliest token is the same at nine of ten positions (0.014 and 0.946 were seen).
    """
    shape, weights = load(ModelSource(name=str(FOLDER)), 256, torch.float32, CPU)
    sizes = (shape.num_layers, shape.num_heads, shape.num_kv_heads, shape.head_dim)
    told = []
    with torch.inference_mode():
        for int8 in (False, True):
            model = Transformer(shape, weights, int8=int8)
            rows = []
            for story in stories():
                ids = story.prompt + story.output
                cache = KvCache(KvShape(*sizes, 1, 256, 1, 16), torch.float32, CPU)
                batch = model.plan([Piece(0, 0, len(ids))])
                hidden = model.layers(model.embed(ids), range(shape.num_layers), batch, cache)
                rows.append(model.logits(hidden).log_softmax(-1))
            told.append(torch.cat(rows))
    exact, near = told
    divergence = (exact.exp() * (exact - near)).sum(-1).mean().item()
    agree = (exact.argmax(-1) == near.argmax(-1)).float().mean().item()
    assert 0 < divergence < 0.03
    assert agree > 0.9


@pytest.mark.parametrize("renormalise", [False, True])
def test_experts_are_a_weighted_sum(renormalise: bool) -> None:
    """Against the definition, token by token; also where an expert has no token at all."""
    torch.manual_seed(1)
    router = torch.randn(8, 5)
    router[:, 3] = 0
    parts = [SwiGlu(Dense(torch.randn(8, 12)), Dense(torch.randn(6, 8))) for _ in range(5)]
    x, residual = torch.randn(7, 8), torch.randn(7, 8)
    found = Experts(Dense(router), parts, 2, renormalise).add(residual, x)
    for row in range(7):
        shares = (x[row] @ router).softmax(-1)
        best = shares.argsort(descending=True)[:2].tolist()
        total = sum(shares[e] for e in best) if renormalise else torch.tensor(1.0)
        expected = sum(
            (shares[e] / total * parts[e](x[row : row + 1])[0] for e in best), x[row] * 0
        )
        torch.testing.assert_close(found[row], residual[row] + expected, atol=1e-5, rtol=1e-5)
