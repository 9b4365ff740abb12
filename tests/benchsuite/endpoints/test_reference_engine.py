"""The bundled engine as an endpoint: what of the scenario reaches it."""

from pathlib import Path

import pytest

from benchsuite.endpoints.in_process import with_tokenizer
from benchsuite.endpoints.reference_engine import ReferenceEngine
from benchsuite.errors import ScenarioError
from reference_engine.config import EngineConfig
from reference_engine.executors import Roofline


async def test_further_body_fields_reach_the_requests(tmp_path: Path) -> None:
    """So that the bundled engine too can be asked for greedy answers."""
    endpoint = ReferenceEngine(
        engine=EngineConfig(executor=Roofline()), body_fields={"temperature": 0}
    )
    async with endpoint.started(tmp_path) as chat:
        assert chat.body_fields == {"temperature": 0}


async def test_a_configuration_that_cannot_be_used_is_the_scenarios_fault(tmp_path: Path) -> None:
    endpoint = ReferenceEngine(engine=EngineConfig(max_model_len=99_999, executor=Roofline()))
    with pytest.raises(ScenarioError, match=r"^endpoint\.engine: max_model_len 99999"):
        async with endpoint.started(tmp_path):
            pass


def test_a_folder_that_is_called_like_a_preset_is_not_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`tiny` is the preset wherever the command is given, with the bundled tokenizer."""
    (tmp_path / "tiny").mkdir()
    monkeypatch.chdir(tmp_path)
    assert with_tokenizer(EngineConfig(model="tiny")).tokenizer is not None
    assert with_tokenizer(EngineConfig(model=str(tmp_path / "tiny"))).tokenizer is None
