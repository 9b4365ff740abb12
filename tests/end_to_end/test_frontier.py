"""A sweep over reasoning efforts of the bundled engine, and which of its runs are worth having."""

import json
from pathlib import Path

import pytest
from rich.console import Console

from benchsuite import runner
from benchsuite.scenario import load

ENGINE = """\
seed: 1
endpoint:
  type: in_process
  engine:
    model: llama-3-8b
    executor: {type: roofline, device: h200}
    behaviour: {low_tokens: 8}
arrivals: {type: closed_loop, concurrency: 8}
"""
GRADED = """\
name: graded
workload: {type: questions, path: questions.jsonl, grader: contains, max_output_tokens: 32}
limits: {requests: 40}
"""
FIXED = """\
name: fixed
workload:
  type: synthetic
  prompt_tokens: {type: fixed, value: 20}
  output_tokens: {type: fixed, value: 64}
  ignore_eos: true
limits: {requests: 32}
"""
TOKENS = {"none": 32, "low": 160}
"""Effort -> most tokens of an answer, which one of random weights takes."""


def test_a_sweep_over_efforts_becomes_a_frontier(tmp_path: Path) -> None:
    """More to say takes as much longer, and holds what was asked for more often; by the throughput
    at demanded lengths the requests per second come out as the natural runs had them."""
    words = ("th", "q", "ing", "zu", "an", "you", "I", "ever") * 5
    rows = (json.dumps({"question": f"Say {i} {w}.", "answer": w}) for i, w in enumerate(words))
    (tmp_path / "questions.jsonl").write_text("\n".join(rows))
    graded, fixed = tmp_path / "graded.yaml", tmp_path / "fixed.yaml"
    graded.write_text(GRADED + ENGINE)
    fixed.write_text(FIXED + ENGINE)
    quiet = Console(quiet=True)
    for effort, tokens in TOKENS.items():
        changes = (f"workload.effort={effort}", f"workload.max_output_tokens={tokens}")
        runner.run(load(graded, changes), tmp_path / effort, console=quiet)
    runner.run(load(fixed), tmp_path / "demanded", console=quiet)

    runs = [tmp_path / effort for effort in TOKENS]
    found = runner.frontier_of(runs, runs[0], fixed=[tmp_path / "demanded"])
    points = {point.name: point for point in found.points}
    short, long = points["none"], points["low"]
    assert 0 < short.accuracy < long.accuracy < 1
    assert short.is_on_frontier
    assert long.is_on_frontier
    assert (short.tokens_per_answer, long.tokens_per_answer) == (32, 160)
    assert long.relative_rate == pytest.approx(32 / 160, rel=0.02)
    for point in (short, long):
        assert point.of_throughput is not None
        assert point.of_throughput.natural == pytest.approx(1.0, abs=0.05)
        low, high = point.accuracy_ci or (1.0, 0.0)
        assert low <= point.accuracy <= high
    assert long.of_throughput is not None
    assert long.of_throughput.relative_rate == pytest.approx(32 / 160)
