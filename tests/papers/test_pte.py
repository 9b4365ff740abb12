"""Numbers of PTE (arXiv:2604.05404): gamma, and the cost of conversations with tools."""

from typing import Any

import numpy as np
import pytest

from benchsuite.metrics.accelerators import ACCELERATORS
from benchsuite.metrics.model_shapes import MODELS
from benchsuite.metrics.pte import pte_metrics, with_gamma
from benchsuite.metrics.system import System
from benchsuite.metrics.token_costs import PAPER_PEAK, gamma_exact, gamma_paper
from benchsuite.records.table import RunData
from tests.runs import record, run

PRINTED = {
    "qwen2.5-7b": 0.00329,
    "qwen2.5-32b": 0.00320,
    "qwen2.5-72b": 0.00175,
    "qwen3-32b": 0.00200,
    "llama-3.1-8b": 0.00625,
    "llama-3.1-70b": 0.00175,
    "qwen3-30b-a3b": 0.00563,
    "qwen3-235b-a22b": 0.00163,
    "glm-4.5-air": 0.00200,
    "glm-4.5": 0.00183,
    "deepseek-v3.1": 0.00068,
    "gpt-oss-120b": 0.00388,
}
"""Table 3: gamma on an H100 PCIe."""
ALPHA = {"h100-pcie": 1.0, "h200-nvl": 0.46, "a100-pcie": 0.43, "rtx-4090": 0.43, "v100": 0.18}
"""Table 4: gamma there over gamma on the H100, two digits."""
HOI = {
    "h100-pcie": 756.5,
    "h200-nvl": 348.1,
    "a100-pcie": 322.5,
    "rtx-4090": 327.4,
    "v100": 138.9,
}


def _ridge(accelerator: str) -> float:
    return ACCELERATORS[accelerator].flops_per_byte(PAPER_PEAK)


@pytest.mark.parametrize("accelerator", HOI)
@pytest.mark.parametrize("model", PRINTED)
def test_gamma_of_12_models_on_5_accelerators(model: str, accelerator: str) -> None:
    """Within 1.5 % of the printed gamma (6 % of the latent's) and half of its last digit."""
    scale = HOI[accelerator] / HOI["h100-pcie"]
    within = 0.06 if model == "deepseek-v3.1" else 0.015
    margin = (PRINTED[model] * within + 5e-6) * scale
    found = gamma_paper(MODELS[model], _ridge(accelerator))
    assert found == pytest.approx(PRINTED[model] * scale, abs=margin)


@pytest.mark.parametrize("accelerator", HOI)
def test_the_ridges_of_the_five_accelerators(accelerator: str) -> None:
    """As printed; alpha is their ratio."""
    assert _ridge(accelerator) == pytest.approx(HOI[accelerator], rel=1e-3)
    alpha = _ridge(accelerator) / _ridge("h100-pcie")
    assert alpha == pytest.approx(ALPHA[accelerator], abs=0.005)


def test_gamma_of_llama_and_of_a_latent() -> None:
    """0.00620 of Llama-3.1-8B, printed as 0.00625. DeepSeek-V3.1's 0.00068 is only come near if its
    latent is read once: 0.00072, and not 0.00144."""
    ridge = _ridge("h100-pcie")
    assert gamma_paper(MODELS["llama-3.1-8b"], ridge) == pytest.approx(0.00620, abs=1e-5)
    assert gamma_paper(MODELS["deepseek-v3.1"], ridge) == pytest.approx(0.00072, abs=1e-5)


@pytest.mark.parametrize(
    ("model", "exact"),
    [
        ("gpt-oss-120b", 0.00547),
        ("qwen3-30b-a3b", 0.01127),
        ("qwen3-235b-a22b", 0.00331),
        ("qwen3-32b", 0.00318),
        ("glm-4.5-air", 0.00594),
    ],
)
def test_the_true_width_of_keys_and_values_is_not_the_papers(model: str, exact: float) -> None:
    """Where head_dim * heads is not the hidden size the paper is too low, by up to 3 times."""
    assert gamma_exact(MODELS[model], _ridge("h100-pcie")) == pytest.approx(exact, rel=3e-3)


def _turns(*turns: tuple[int, int, int | None]) -> RunData:
    """A session of (prompt, output, cached) turns."""
    return run(
        *(
            record(
                i,
                session_id=0,
                turn=i,
                prompt_tokens=prompt,
                cached_tokens=cached,
                chunks=((0.1, 1), (0.2, output - 1)),
            )
            for i, (prompt, output, cached) in enumerate(turns)
        )
    )


def test_the_worked_example() -> None:
    """gamma 0.002; 1000 and 200, then 2000 and 100: 1400 + 2400. With 1200 cached: 2600."""
    data = _turns((1000, 200, 0), (2000, 100, 1200))
    assert with_gamma(data, 0.002).tolist() == [1400.0, 2400.0]
    assert with_gamma(data, 0.002, data.cached_tokens.astype(float)).sum() == 2600.0


def test_below_a_short_context_pte_is_less_than_the_tokens() -> None:
    """A decoded token costs gamma * Ls < 1 while Ls < 1 / gamma: 470 for 500 tokens."""
    assert with_gamma(_turns((400, 100, None)), 0.00175).tolist() == [470.0]


def _metric(name: str, data: RunData, **changes: Any) -> Any:
    told = System(model=MODELS["llama-3.1-8b"], accelerator=ACCELERATORS["h100-pcie"])
    (found,) = [one for one in pte_metrics(told) if one.name == name]
    return found.values(data)


def test_the_variants_are_in_order() -> None:
    """ideal <= cache <= paper, turn by turn; the tax is the difference of the last two, and what
    was evicted that of the first two."""
    data = _turns((1000, 200, 0), (2000, 100, 900), (2100, 10, 0))
    paper, cache, ideal = (_metric(f"pte_{kind}", data) for kind in ("paper", "cache", "ideal"))
    assert (paper >= cache).all()
    assert (cache >= ideal).all()
    assert np.allclose(_metric("eviction_tax", data), paper - cache)
    assert np.allclose(_metric("recomputed_tokens", data), cache - ideal)
    assert _metric("recomputed_tokens", data).tolist() == [0.0, 300.0, 2100.0]
    assert _metric("pte_session", data).tolist() == pytest.approx([paper.sum()])


def test_pte_of_turns_foretells_time_where_output_tokens_do_not() -> None:
    """Section 5: over turn averages PTE has r = 0.93 with time, output tokens -0.38. Of a server
    that takes time as PTE says, whose answers grow shorter, that is so here."""
    rng = np.random.default_rng(1)
    gamma = 0.0062
    records = []
    for session in range(40):
        for turn in range(6):
            prompt, output = 800 * (turn + 1) + int(rng.integers(200)), 120 - 15 * turn
            took_s = 1e-4 * (prompt + gamma * prompt * output) * rng.uniform(0.9, 1.1)
            at_s = ((0.5 * took_s, 1), (took_s, output - 1))
            records.append(
                record(len(records), session_id=session, turn=turn, prompt_tokens=prompt,
                       chunks=at_s)
            )  # fmt: skip
    data = run(*records)
    assert _metric("pte_paper_time_r", data)[0] > 0.95
    assert _metric("pte_paper_turn_time_r", data)[0] > _metric("pte_paper_time_r", data)[0]
