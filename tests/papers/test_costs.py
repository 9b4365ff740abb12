"""Numbers of papers on what tokens cost: eFLOPs, FLOPs to the first token, energy, money."""

import numpy as np
import pytest

from benchsuite.metrics.cold_start import cold_starts, utility_ratio
from benchsuite.metrics.cost import usd_per_million, use_metrics
from benchsuite.metrics.energy import from_power
from benchsuite.metrics.model_shapes import ModelShape
from benchsuite.metrics.summaries import absent, summaries
from benchsuite.metrics.system import System
from benchsuite.metrics.token_costs import eflops, gamma_exact, prefill_flops
from tests.runs import record, run

QWEN3_8B = ModelShape(
    active_params=8.19e9,
    total_params=8.19e9,
    num_layers=36,
    hidden_size=4096,
    num_heads=32,
    num_kv_heads=8,
    head_dim=128,
)
KINETICS = 562.5  # FLOP/byte


def test_v14_kinetics_eflops_of_qwen3_8b() -> None:
    """Kinetics (arXiv:2506.05333): 8,192 tokens after 200 are 154.94 TFLOP of arithmetic and
    2,919.03 of memory."""
    arithmetic, memory = eflops(QWEN3_8B, KINETICS, 200, 8192)
    assert arithmetic == pytest.approx(154.94e12, rel=1e-4)
    assert memory == pytest.approx(2919.03e12, rel=1e-5)


def test_v15_kinetics_memory_term_is_gamma_exact_of_a_short_answer() -> None:
    """C_mem / (2 P) without the answer's own growth is gamma * Ls * Dd; gamma is 0.005064."""
    gamma = gamma_exact(QWEN3_8B, KINETICS)
    assert gamma == pytest.approx(0.005064, abs=1e-6)
    prompt, output = 100_000, 10
    _, memory = eflops(QWEN3_8B, KINETICS, prompt, output)
    priced = memory / (2 * QWEN3_8B.active_params)
    assert priced == pytest.approx(gamma * prompt * output, rel=1e-4)


def test_kinetics_trials_share_the_prompt() -> None:
    """N answers to one prompt read its keys and values once a step, not N times."""
    one, many = (eflops(QWEN3_8B, KINETICS, 10_000, 100, trials=n) for n in (1, 8))
    assert many[0] == 8 * one[0]
    assert many[1] < 1.1 * one[1]


def test_v24_kv_prediction_saves_what_the_auxiliary_model_is_smaller() -> None:
    """KV Prediction (arXiv:2410.08391): a 0.45B model in front of a 3B one leaves about 15 % of the
    FLOPs to the first token of a long prompt, 85 % less, before those of the predictor."""
    base, auxiliary = (
        ModelShape(
            active_params=params,
            total_params=params,
            num_layers=1,
            hidden_size=1,
            num_heads=1,
            num_kv_heads=1,
            head_dim=1,
        )
        for params in (3e9, 0.45e9)
    )
    tokens = 2000.0
    left = prefill_flops(auxiliary, tokens) + prefill_flops(base, 1.0)
    whole = prefill_flops(base, tokens)
    assert left / whole == pytest.approx(0.15, abs=0.001)
    assert 1 - left / whole == pytest.approx(0.85, abs=0.001)


def test_kv_prediction_first_tokens_tell_the_flops_per_second() -> None:
    """KV Prediction: a server of 50 TFLOP/s that adds 30 ms to every request is found by the line
    of measured first tokens over FLOPs within 1 %, inside its interval; the 30 ms don't count."""
    planted, noise = 50e12, np.random.default_rng(5)
    records = []
    for i, prompt in enumerate(noise.integers(500, 12_000, 200)):
        first_s = 0.03 + prefill_flops(QWEN3_8B, float(prompt)) / planted
        chunks = ((float(first_s * noise.normal(1, 0.01)), 1), (first_s * 2, 1))
        records.append(record(i, due_s=10.0 * i, prompt_tokens=int(prompt), chunks=chunks))
    metrics = use_metrics(System(model=QWEN3_8B))
    found = summaries(metrics, run(*records))
    speed = found["prefill_flops_per_s"]
    assert speed.mean == pytest.approx(planted, rel=0.01)
    assert speed.mean_ci is not None
    assert speed.mean_ci[0] < planted < speed.mean_ci[1]
    assert found["ttft_flops_r2"].mean == pytest.approx(1.0, abs=0.01)
    alike = run(*(record(i, prompt_tokens=1000) for i in range(30)))
    assert "too alike" in absent(metrics, alike)["prefill_flops_per_s"]
    assert "deployment.model" in absent(use_metrics(System()), alike)["prefill_flops_per_s"]


def test_v17_inferencemax_joules_of_700_watts() -> None:
    """700 W for 60 s, 12,000 output and 60,000 prompt tokens: 3.50 J an output token, 0.583 J a
    token."""
    at_s = np.arange(-1.0, 62.0)
    found = from_power(np.column_stack((at_s, np.full(len(at_s), 700.0))), 0.0, 60.0)
    assert found.joules / 12_000 == pytest.approx(3.50)
    assert found.joules / 72_000 == pytest.approx(0.583, abs=5e-4)
    assert found.error == pytest.approx(0.0, abs=1e-9)


def test_v18_inferencemax_price_of_a_million_tokens() -> None:
    """8 accelerators at 2 $ an hour and 5,000 tokens/s: 0.889 $."""
    assert usd_per_million(2 * 8, 5000) == pytest.approx(0.889, abs=5e-4)


def test_v27_serverless_cold_start_and_its_use() -> None:
    """Serverless Cold Starts (arXiv:2410.06145): 7.4 s cold, 0.4 s warm, 70 s of use: a penalty of
    7 s that pays for ten times itself."""
    cold = record(0, due_s=0.0, chunks=((7.4, 1), (7.5, 1)))
    # each is sent before the one before has ended, so all are warm; the last ends 70 s after 7.4
    warm = [
        record(i, due_s=7.4 + 6.9 * (i - 1), chunks=((0.4, 1), (7.0 + 0.9 * (i == 10), 1)))
        for i in range(1, 11)
    ]
    data = run(cold, *warm)
    found = cold_starts(data)
    assert found.is_cold.tolist() == [True] + [False] * 10
    assert found.penalty_s == pytest.approx(7.0)
    assert utility_ratio(70.0, 7.0) == 10.0
    assert found.utility == pytest.approx(10.0)


@pytest.mark.parametrize(
    ("small", "large", "params"),
    [(900, 100, 4.55e9), (1000, 0, 1.5e9), (0, 1000, 32e9)],
)
def test_v16_r2r_activated_parameters_per_token(small: int, large: int, params: float) -> None:
    """R2R: 900 tokens by 1.5B and 100 by 32B are 4.55B a token; a routed share of 0 or 1 is the
    small or the large model alone. A model that nobody told the size of leaves it absent."""
    system = System(model_params={"small": 1.5e9, "large": 32e9})
    asked = [
        record(i, model=name, chunks=((0.1, 1), (0.2, tokens - 1)))
        for i, (name, tokens) in enumerate((("small", small), ("large", large)))
        if tokens
    ]
    data = run(*asked)
    (metric,) = (one for one in use_metrics(system) if one.name == "activated_params")
    assert metric.lacks is not None
    assert metric.lacks(data) is None
    assert metric.values(data) == pytest.approx([params])
    strange = run(*asked, record(9, model="other"))
    assert metric.lacks(strange) == "not in deployment.model_params: other"
    unnamed = run(*asked, record(9))
    assert metric.lacks(unnamed) == "no deployment.model for the requests that name none"
    assert absent(use_metrics(System()), data)["activated_params"] == "no deployment.model_params"
