"""Numbers of PTE (arXiv:2604.05404): gamma, and the cost of conversations with tools."""

from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace

from benchsuite.metrics.accelerators import ACCELERATORS
from benchsuite.metrics.model_shapes import MODELS
from benchsuite.metrics.pte import pte_metrics, with_gamma
from benchsuite.metrics.system import System
from benchsuite.metrics.token_costs import PAPER_PEAK, gamma_exact, gamma_paper
from benchsuite.metrics.tool_patterns import PATTERNS
from benchsuite.records.table import RunData
from benchsuite.records.tool_events import JudgedCall
from benchsuite.tools.base import ToolResult
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


def test_v2_pte_gamma_of_llama_3_1_8b() -> None:
    """0.00620, printed as 0.00625."""
    found = gamma_paper(MODELS["llama-3.1-8b"], _ridge("h100-pcie"))
    assert found == pytest.approx(0.00620, abs=5e-6)


def test_v3_pte_gamma_of_deepseek_v3_1() -> None:
    """The printed 0.00068 is only come near if the latent, which keys and values share, is read
    once: 0.00072. As keys and values, like any other width, it would be 0.00144."""
    model, ridge = MODELS["deepseek-v3.1"], _ridge("h100-pcie")
    assert gamma_paper(model, ridge) == pytest.approx(0.00072, abs=5e-6)
    assert model.latent_dim == 576
    as_both = replace(model, latent_dim=0, hidden_size=576, num_heads=1, num_kv_heads=1)
    assert gamma_paper(as_both, ridge) == pytest.approx(0.00144, abs=5e-6)


def test_v5_pte_alpha_of_h200() -> None:
    """348.1 / 756.5: gamma there is 0.460 of that on the H100 PCIe."""
    model = MODELS["qwen3-32b"]
    alpha = gamma_paper(model, _ridge("h200-nvl")) / gamma_paper(model, _ridge("h100-pcie"))
    assert alpha == pytest.approx(0.460, abs=5e-4)


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


def test_v1_pte_worked_example() -> None:
    """gamma 0.002; 1000 and 200, then 2000 and 100: 1400 + 2400. With 1200 cached: 2600."""
    data = _turns((1000, 200, 0), (2000, 100, 1200))
    assert with_gamma(data, 0.002).tolist() == [1400.0, 2400.0]
    assert with_gamma(data, 0.002, data.cached_tokens.astype(float)).sum() == 2600.0


def test_v4_pte_below_a_short_context_is_less_than_the_tokens() -> None:
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


# Inefficiency patterns, appendix E


def _call(name: str, problem: Any = None) -> JudgedCall:
    return JudgedCall(id="1", name=name, arguments="{}", problem=problem, detail=None)


def _result(name: str, output_tokens: int = 5, exit_code: int = 0) -> ToolResult:
    return ToolResult(
        call_id="1", name=name, started_s=0.0, ended_s=0.1, exit_code=exit_code, problem=None,
        output="", output_tokens=output_tokens,
    )  # fmt: skip


LABELLED: dict[str, tuple[set[str], tuple[dict[str, Any], ...]]] = {
    "plain": (
        set(),
        (
            {"tool_calls": (_call("python"),), "reasoning_text": "let me compute 6 * 7"},
            {"tool_results": (_result("python"),), "output_text": "42", "answer": "42"},
        ),
    ),
    "no tool": (set(), ({"output_text": "42", "answer": "42"},)),
    "confirmed": (
        {"confirmatory_calls"},
        (
            {"tool_calls": (_call("python"),), "reasoning_text": "it is 42; let me check"},
            {"tool_results": (_result("python"),), "output_text": "42", "answer": "42"},
        ),
    ),
    "another number": (
        set(),
        (
            {"tool_calls": (_call("python"),), "reasoning_text": "142 or 420, let me check"},
            {"tool_results": (_result("python"),), "output_text": "42", "answer": "42"},
        ),
    ),
    "searched what was known": (
        set(),  # no code was run
        (
            {"tool_calls": (_call("search"),), "reasoning_text": "it is 42; let me check"},
            {"tool_results": (_result("search"),), "output_text": "42", "answer": "42"},
        ),
    ),
    "mixed": (
        {"tool_mixing", "toolset_mixing"},
        (
            {"tool_calls": (_call("python"), _call("search"))},
            {"tool_results": (_result("python"), _result("search")), "answer": "7"},
        ),
    ),
    "web": (
        {"tool_mixing"},
        ({"tool_calls": (_call("search"),)}, {"tool_calls": (_call("visit"),)}, {"answer": "7"}),
    ),
    "nothing back": (
        {"tool_errors"},
        (
            {"tool_calls": (_call("python"),)},
            {"tool_results": (_result("python", output_tokens=0),), "answer": "7"},
        ),
    ),
    "failed": (
        {"tool_errors"},
        (
            {"tool_calls": (_call("python"),)},
            {"tool_results": (_result("python", exit_code=1),), "answer": "7"},
        ),
    ),
    "no JSON": ({"format_collapse"}, ({"tool_calls": (_call("python", "malformed_json"),)},)),
    "no such tool": ({"format_collapse"}, ({"tool_calls": (_call("pyhton", "unknown_tool"),)},)),
}


def _labelled(**more: Any) -> RunData:
    records = [
        record(
            100 * session + turn,
            session_id=session,
            turn=turn,
            **{"output_text": "", **fields, **more},
        )
        for session, (_, turns) in enumerate(LABELLED.values())
        for turn, fields in enumerate(turns)
    ]
    return run(*records, window_s=(0.0, 1e6))


@pytest.mark.parametrize("pattern", [*PATTERNS])
def test_each_pattern_is_found_where_it_is_and_nowhere_else(pattern: str) -> None:
    """Precision and recall of 1 on sessions whose patterns are known."""
    found = PATTERNS[pattern][1](_labelled())
    expected = [pattern in patterns for patterns, _ in LABELLED.values()]
    assert found.tolist() == expected
    assert any(expected)


def test_a_pattern_costs_what_its_sessions_cost_over_those_without_any() -> None:
    """All turns cost the same here, so two or three turns over one or two: 2 / (7 / 4)."""
    told = System(model=MODELS["llama-3.1-8b"], accelerator=ACCELERATORS["h100-pcie"])
    metrics = {one.name: one for one in pte_metrics(told)}
    data = _labelled()
    assert metrics["tool_errors"].values(data)[0] == pytest.approx(2 / len(LABELLED))
    assert metrics["tool_errors_cost"].values(data)[0] == pytest.approx(2 / (7 / 4))


def test_patterns_without_calls_or_text_are_absent() -> None:
    metrics = {one.name: one for one in pte_metrics(System())}

    def reason(name: str, data: RunData) -> str:
        lacks = metrics[name].lacks
        assert lacks is not None
        return lacks(data) or ""

    assert reason("tool_mixing", run(record(0))) == "no tool was called"
    assert "capture: text" in reason("confirmatory_calls", _labelled(output_text=None))
    assert "no deployment.model" in reason("tool_mixing_cost", _labelled())
    assert reason("tool_mixing", _labelled()) == ""
