"""Lengths drawn from the rows of a trace, in pairs."""

from itertools import islice
from pathlib import Path

import pytest

from benchsuite.errors import ScenarioError, TraceError
from benchsuite.workloads import Resampled, tokenizer
from benchsuite.workloads.formats import Azure, Jsonl

DATA = Path(__file__).parents[2] / "data"
TOKENIZER = tokenizer.load("bundled")
AZURE = Azure(path=str(DATA / "azure_2023_conv.csv"))


def drawn(workload: Resampled, num: int = 300, seed: int = 1):
    return [one.requests[0] for one in islice(workload.sessions(TOKENIZER, seed), num)]


def test_pairs_are_those_of_rows_and_all_occur() -> None:
    """Never a prompt of one row with an output of another; texts of their own."""
    pairs = {(row.prompt_tokens, row.output_tokens) for row in AZURE.rows()}
    asked = drawn(Resampled(source=AZURE))
    assert {(one.prompt_tokens, one.max_output_tokens) for one in asked} == pairs
    same = [one for one in asked if one.prompt_tokens == asked[0].prompt_tokens][:2]
    assert same[0].prompt.render() != same[1].prompt.render()
    assert drawn(Resampled(source=AZURE), 20) == asked[:20]
    assert drawn(Resampled(source=AZURE), 20, seed=2) != asked[:20]


def test_scales_limits_and_their_note() -> None:
    """Half as long, and clipped; how many rows that is stands in the result."""
    halved = Resampled(source=AZURE, token_scale=0.5, max_prompt_tokens=200)
    asked = drawn(halved)
    assert max(one.prompt_tokens for one in asked) == 200
    assert "trace rows are clipped to a limit" in halved.notes()[0]
    assert Resampled(source=AZURE).notes() == ()


def test_one_class_alone(tmp_path: Path) -> None:
    """Rows of other classes are left out; a class without rows is the user's mistake."""
    path = tmp_path / "own.jsonl"
    row = '{"arrival_s": 1, "prompt_tokens": %d, "output_tokens": 2, "slo_class": "%s"}\n'
    path.write_text(row % (5, "chat") + row % (9, "code"))
    source = Jsonl(path=str(path))
    asked = drawn(Resampled(source=source, slo_class="code"), 9)
    assert {(one.prompt_tokens, one.slo_class) for one in asked} == {(9, "code")}
    with pytest.raises(ScenarioError, match="no row of class batch"):
        drawn(Resampled(source=source, slo_class="batch"), 1)


def test_rows_without_lengths(tmp_path: Path) -> None:
    """They stop the run with file and line, or are left out and counted."""
    path = tmp_path / "own.jsonl"
    path.write_text(
        '{"arrival_s": 1, "prompt_tokens": 5, "output_tokens": 2}\n'
        '{"arrival_s": 2, "messages": [{"role": "user", "content": "hi"}], "output_tokens": 2}\n'
    )
    source = Jsonl(path=str(path))
    with pytest.raises(TraceError, match=r"own.jsonl:2: expected the length of a prompt"):
        drawn(Resampled(source=source), 1)
    skipping = Resampled(source=source, on_bad_row="skip")
    assert {one.prompt_tokens for one in drawn(skipping, 9)} == {5}
    assert "1 broken trace rows were skipped" in skipping.notes()[0]
