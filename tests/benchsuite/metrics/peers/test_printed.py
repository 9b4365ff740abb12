"""What other tools printed of a run of theirs, and what is recomputed of the same requests.

tests/data/README.md says how they were made: 16 requests to a server with known token times, two of
which it refused. A tool's own clock around its run is in no record: rates are held against it
more loosely, by as much as the tool's window differs from the time of its requests.
"""

import json
import math
from itertools import accumulate, groupby
from pathlib import Path
from typing import Any

import pytest

from benchsuite.metrics.peers import PEERS
from benchsuite.records.record import Record
from benchsuite.results.imports import IMPORTS
from benchsuite.results.imports.base import Request, imported
from tests.runs import record, run

DATA = Path(__file__).parents[3] / "data" / "printed"
EXACT = 1e-9  # a number and its unit's factor
LOOSE: dict[str, dict[str, float]] = {
    "vllm": {"duration": 0.001, "throughput": 0.001},  # from before the first request was made
    "aiperf": {"throughput.avg": 0.02, "benchmark_duration": 1e-6},  # of its phase
    "guidellm": {"per_second": 0.08, "duration": 0.002},  # its window left the last answer out
    "inference-perf": {},
    "sglang": {"duration": math.inf, "throughput": math.inf, "concurrency": math.inf,  # no times
               "e2e": 0.001, "tpot": 0.001},  # its file lacks when the streams ended
    "mlperf": {"per second": 1e-4, "TPOT": 1e-6},  # two decimals
}  # fmt: skip
NUM_PRINTED = {
    "vllm": 38, "aiperf": 155, "guidellm": 101, "inference-perf": 104, "sglang": 33, "mlperf": 30,
}  # fmt: skip
UNPRINTED = {
    "aiperf": {"adj_"},  # what is infinite
    "sglang": {"max_itl_ms"},  # on the screen alone
    "mlperf": {"arly stopping"},  # in words
}


def _requests(tool: str, kept: Any) -> list[Request]:
    """Of tools whose files nobody imports."""
    if tool == "inference-perf":
        return [
            Request(
                one["start"],
                [at for at, _ in groupby(one["token_times"])],
                one["end"],
                one["prompt_tokens"],
                len(one["token_times"]),
            )
            for one in kept
        ]
    names = ("ttfts", "itls", "input_lens", "output_lens", "errors")
    columns = zip(*(kept[name] for name in names), strict=True)
    return [
        Request(float(at), list(accumulate(itls, initial=at + ttft)), at + ttft + sum(itls), prompt,
                output, error or None)
        for at, (ttft, itls, prompt, output, error) in enumerate(columns)
    ]  # fmt: skip


def _mlperf(kept: list[dict[str, int]]) -> list[Record]:
    """What LoadGen traced of each sample: since when it was due, in nanoseconds."""
    found = []
    for one in kept:
        due_s, ended_s = one["scheduled_ns"] / 1e9, one["done_ns"] / 1e9
        chunks = ((one["first_ns"] / 1e9, 1), (ended_s, one["tokens"] - 1))
        sent_s = due_s + one["issue_delay_ns"] / 1e9
        found.append(record(one["seq"], due_s=due_s, sent_s=sent_s, chunks=chunks))
    return found


def _records(tool: str, found: dict[str, Any], folder: Path) -> list[Record]:
    if tool == "mlperf":
        return _mlperf(found["requests"])
    if "requests" in found:
        some = _requests(tool, found["requests"])
        return list(imported(tool, some, model="m", arrivals=None, started_at="").records)
    path = folder / ("profile_export.jsonl" if tool == "aiperf" else "result.json")
    lines = found.get("lines") or [found["file"]]
    path.write_text("\n".join(map(json.dumps, lines)))
    known = IMPORTS[tool](path)
    assert known is not None
    return list(known.records)


@pytest.mark.parametrize("tool", LOOSE)
def test_recompute_says_what_the_tool_printed(tool: str, tmp_path: Path) -> None:
    found = json.loads((DATA / f"{tool}.json").read_text())
    printed: dict[str, float] = found["printed"]
    told = PEERS[tool](run(*_records(tool, found, tmp_path)))
    both = [name for name in told if name in printed]
    assert len(both) == NUM_PRINTED[tool]
    for name in set(told) - set(printed):
        assert any(part in name for part in UNPRINTED.get(tool, ())), name
    for name in both:
        rel = max((rel for part, rel in LOOSE[tool].items() if part in name), default=EXACT)
        whole = 1.0 if tool == "mlperf" else 1e-12  # nanoseconds, cut off
        assert told[name] == pytest.approx(printed[name], rel=rel, abs=whole), name
