"""What stands behind the endpoint: names, files and numbers become numbers."""

import re
from pathlib import Path

import msgspec
import pytest

from benchsuite.deployment import Deployment
from benchsuite.errors import ScenarioError
from benchsuite.metrics.accelerators import ACCELERATORS, Accelerator
from benchsuite.metrics.model_shapes import MODELS
from benchsuite.metrics.system import UNTOLD, Prices
from benchsuite.scenario import load
from tests.benchsuite.metrics.test_model_shapes import LLAMA

SCENARIO = """
name: told
endpoint: {type: openai_chat, url: "http://localhost:8000"}
workload:
  type: synthetic
  prompt_tokens: {type: fixed, value: 8}
  output_tokens: {type: fixed, value: 8}
arrivals: {type: poisson, rate: 8}
limits: {requests: 10}
"""


def _deployment(folder: Path, text: str) -> Deployment:
    path = folder / "scenario.yaml"
    path.write_text(f"{SCENARIO}deployment: {text}\n")
    return load(path).deployment


def test_names_are_looked_up(tmp_path: Path) -> None:
    found = _deployment(tmp_path, "{model: llama-3.1-8b, accelerator: h100-sxm}").resolve()
    assert found.model == MODELS["llama-3.1-8b"]
    assert found.accelerator == ACCELERATORS["h100-sxm"]


def test_files_are_read_beside_the_scenario(tmp_path: Path) -> None:
    """A config.json by its folder, and prices from a file."""
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_bytes(msgspec.json.encode(LLAMA))
    (tmp_path / "prices.yaml").write_text("usd_per_accelerator_hour: 2.5\n")
    told = _deployment(tmp_path, "{model: ./model, active_params: 8e9, prices: prices.yaml}")
    found = told.resolve()
    assert found.model is not None
    assert (found.model.num_layers, found.model.active_params) == (32, 8e9)
    assert found.prices == Prices(usd_per_accelerator_hour=2.5)


def test_numbers_do_as_well(tmp_path: Path) -> None:
    told = _deployment(tmp_path, "{accelerator: {dense_flops_per_s: 1e15, bytes_per_s: 2e12}}")
    assert told.resolve().accelerator == Accelerator(dense_flops_per_s=1e15, bytes_per_s=2e12)
    assert Deployment().resolve() == UNTOLD


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{model: no-such-model}", "is neither a name (qwen2.5-7b"),
        ("{model: ./broken.json}", "broken.json: no `num_hidden_layers`"),
        ("{prices: broken.json}", "broken.json:1:2: model_type: unknown field"),
    ],
)
def test_what_cannot_be_used_is_said(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "broken.json").write_text('{"model_type": "llama"}')
    with pytest.raises(ScenarioError, match=re.escape(words)):
        _deployment(tmp_path, text).resolve()


def test_an_unknown_accelerator_is_refused_at_its_place(tmp_path: Path) -> None:
    with pytest.raises(
        ScenarioError, match=r"deployment: unknown accelerator 'h1000' .known: h100"
    ):
        _deployment(tmp_path, "{accelerator: h1000}")
