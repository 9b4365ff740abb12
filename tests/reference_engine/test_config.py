"""The configuration file: strict, complete, and with a capacity that fits."""

from pathlib import Path

import msgspec
import pytest

from reference_engine.config import EngineConfig, load
from reference_engine.executors import Roofline, Torch
from reference_engine.policies import Colocated
from reference_engine.specs import ConfigError


def test_round_trip(tmp_path: Path) -> None:
    """What is written out reads back the same, every default in it."""
    config = EngineConfig(executor=Roofline(device="l4"), policy=Colocated(prefill_tokens=99))
    path = tmp_path / "engine.json"
    path.write_bytes(msgspec.json.encode(config))
    assert load(path) == config
    assert b"block_size" in path.read_bytes()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"modl": "tiny"}', "engine.json.*modl"),
        ('{"executor": {"type": "rofline"}}', "rofline.*executor"),
        ('{"executor": {"type": "roofline", "device": "h1000"}}', "h1000.*known: a100"),
        ('{"policy": {"type": "colocated", "prefill_tokens": 0}}', ">= 1.*prefill_tokens"),
        ('{"model": ', "engine.json"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, text: str, words: str) -> None:
    """An unknown key, choice or value is refused with the file and what was wrong."""
    path = tmp_path / "engine.json"
    path.write_text(text)
    with pytest.raises(ConfigError, match=words):
        load(path)


def test_missing_file() -> None:
    """A file that is not there is a ConfigError too."""
    with pytest.raises(ConfigError, match=r"nowhere\.json: No such file"):
        load(Path("nowhere.json"))


def test_kv_memory_is_what_the_weights_leave() -> None:
    """An 80 GB H100 with 8B in bf16: (0.9 x 80e9 - 16.06e9) / (16 x 131072) blocks."""
    config = EngineConfig(model="8b", executor=Roofline(device="h100"))
    assert config.capacity().num_blocks == (72 * 10**9 - 2 * 8_030_261_248) // (16 * 131072)


def test_model_that_does_not_fit_its_device() -> None:
    """Weights beyond the device's memory are refused."""
    with pytest.raises(ConfigError, match="no memory"):
        EngineConfig(model="mixtral-8x7b", executor=Roofline(device="l4")).capacity()


def test_length_defaults_to_what_model_and_pool_hold() -> None:
    """max_model_len is the smaller of the model's positions and the pool's tokens."""
    assert EngineConfig().capacity().max_model_len == 4096
    assert EngineConfig(num_blocks=10).capacity().max_model_len == 160
    with pytest.raises(ConfigError, match="4096 positions"):
        EngineConfig(max_model_len=5000).capacity()


def test_served_name() -> None:
    """Clients see the given name, else the preset or the folder."""
    assert EngineConfig(model="15m").served_name == "15m"
    assert EngineConfig(model="/models/llama").served_name == "llama"
    assert EngineConfig(model_name="mine", executor=Torch()).served_name == "mine"
