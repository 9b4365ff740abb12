"""The truth about emission: what the log says is what the engine did."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from reference_engine.emit_log import EmitLog
from reference_engine.engine import Engine
from reference_engine.sequence import SamplingParams
from reference_engine.specs import ConfigError
from tests.reference_engine.simulation import answer, run_virtually, small


@pytest.mark.parametrize("preemption", ["recompute", "swap"])
def test_every_token_and_phase_is_there_at_its_time(tmp_path: Path, preemption: str) -> None:
    """Phases at the sequences' own stamps, a token at the time when its reader could have it;
    preempted and cancelled ones included."""
    path = tmp_path / "emit.jsonl"
    log = EmitLog(path)
    seen: dict[int, list[float]] = {}
    config = small(num_blocks=10, max_model_len=36, preemption=preemption)

    async def main() -> list[Any]:
        loop = asyncio.get_running_loop()
        async with Engine.open(config, log) as engine:

            async def read(sequence: Any, most: int) -> None:
                times = seen.setdefault(sequence.id, [])
                stream = engine.tokens(sequence)
                async for _ in stream:
                    times.append(loop.time())
                    if len(times) == most:
                        break
                await stream.aclose()

            params = SamplingParams(max_tokens=20)
            sequences = [engine.submit([i] * 5, params, name=f"r{i}") for i in range(4)]
            await asyncio.gather(*(read(one, 3 if one.id == 2 else 99) for one in sequences))
            assert engine.stats.preemptions
            await answer(engine, [1], SamplingParams(max_tokens=1))
            return sequences

    sequences = run_virtually(main)
    log.close()
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line["at_s"] for line in lines] == sorted(line["at_s"] for line in lines)
    for one in sequences:
        own = [line for line in lines if line.get("id") == one.id]
        assert (own[0]["request"], own[0]["prompt_tokens"]) == (f"r{one.id}", 5)
        assert (own[-1]["reason"], own[-1]["output_tokens"]) == (
            one.finish_reason,
            len(one.output_ids),
        )
        lost = "waiting" if preemption == "recompute" else "swapped"
        begun = sum(line.get("phase") == lost for line in own)
        assert begun == one.num_preemptions + (preemption == "recompute")
        backs = sum(line.get("phase") == "decoding" for line in own)
        assert backs == 1 + one.num_preemptions or one.finish_reason == "cancelled"
        for phase, at_s in one.stamps_s.items():
            assert next(line for line in own if line["phase"] == phase)["at_s"] == at_s
        emitted = [line["at_s"] for line in lines if one.id in line.get("emitted", ())]
        assert emitted == seen[one.id]


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    """At the start, not when the first token is lost."""
    with pytest.raises(ConfigError, match=r"emit log: .*nowhere"):
        EmitLog(tmp_path / "nowhere" / "emit.jsonl")
