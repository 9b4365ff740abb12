"""Other tools' result files; tests/data/README.md says what made them."""

import json
from pathlib import Path
from typing import Any

import pytest

from benchsuite import runner
from benchsuite.errors import RunError
from benchsuite.metrics.peers import PEERS
from benchsuite.results.imports import IMPORTS
from benchsuite.results.imports.base import Imported
from benchsuite.results.result import RunResult

DATA = Path(__file__).parents[2] / "data" / "imports"
FILES = {"vllm": "vllm.json", "aiperf": "aiperf.jsonl", "guidellm": "guidellm.json"}


def read(tool: str, path: Path | None = None) -> Imported:
    found = IMPORTS[tool](path or DATA / FILES[tool])
    assert found is not None
    return found


def test_vllm_s_chunks_come_back_where_it_saw_them() -> None:
    """And a request without output is a failure with its message."""
    kept = json.loads((DATA / "vllm.json").read_text())
    records = read("vllm").records
    assert [one.status for one in records] == ["ok", "ok", "error"]
    first = records[0]
    assert first.sent_s == 0.0
    assert first.chunk_s[0] == pytest.approx(kept["ttfts"][0])
    assert first.chunk_s[-1] == pytest.approx(kept["ttfts"][0] + sum(kept["itls"][0]))
    assert list(first.chunk_tokens) == [1, 1, 1, 1, 1]
    assert records[2].error == "Service Unavailable"


def test_aiperf_s_records() -> None:
    first, second, bad = read("aiperf").records
    assert first.output_tokens == second.output_tokens == 5
    assert len(first.chunk_s) == 5
    assert (bad.status, bad.error_class, bad.error) == ("error", "HTTPError", "Service Unavailable")


def test_guidellm_knows_first_and_last_token_alone() -> None:
    """The tokens between are shared out over one gap: tpot is right, itl its mean."""
    found = read("guidellm")
    first = found.records[0]
    assert len(first.chunk_s) == 2
    assert sum(first.chunk_tokens) == first.output_tokens == 64
    assert any("no times between" in note for note in found.notes)


@pytest.mark.parametrize(
    ("tool", "printed"),
    [("vllm", "mean_ttft_ms"), ("aiperf", "time_to_first_token.avg"),
     ("guidellm", "time_to_first_token_ms.mean")],
)  # fmt: skip
def test_an_imported_run_is_one_like_any_other(tool: str, printed: str, tmp_path: Path) -> None:
    """It has its report, and says under its tool's definitions what the tool said."""
    result = runner.keep_imported(read(tool), tmp_path / "run", command="")
    assert (tmp_path / "run" / "report.html").exists()
    assert RunResult.load(tmp_path / "run").name.startswith("imported from")
    assert any("imported from" in warning for warning in result.warnings)
    told = PEERS[tool](runner.data_of(tmp_path / "run"))[printed]
    good = [one for one in read(tool).records if one.status == "ok"]
    mean_ms = sum(one.chunk_s[0] - (one.sent_s or 0.0) for one in good) / len(good) * 1e3
    assert told == pytest.approx(mean_ms)


def test_arrivals_are_what_the_file_says() -> None:
    assert read("vllm").scenario.arrivals.concurrency == 8  # type: ignore[union-attr]
    assert read("guidellm").scenario.arrivals.concurrency >= 1  # type: ignore[union-attr]


def test_each_file_is_of_one_tool() -> None:
    for tool, name in FILES.items():
        found = [other for other, importer in IMPORTS.items() if importer(DATA / name) is not None]
        assert found == [tool]


def vllm_file(tmp_path: Path, **changes: Any) -> Path:
    kept = json.loads((DATA / "vllm.json").read_text()) | changes
    path = tmp_path / "changed.json"
    path.write_text(json.dumps({key: value for key, value in kept.items() if value is not None}))
    return path


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"ttfts": None}, "--save-detailed"),
        ({"ttfts": [0.1]}, "different lengths"),
        ({"ttfts": "soon"}, "not a result of vLLM"),
        ({"date": "yesterday"}, "expected YYYYMMDD"),
        ({"date": "2026-13-01T00:00:00Z"}, "or ISO 8601"),
        ({"input_lens": [], "output_lens": [], "ttfts": [], "itls": [], "start_times": [],
          "errors": []}, "no request"),
    ],
)  # fmt: skip
def test_a_broken_file_is_told(tmp_path: Path, changes: dict[str, Any], told: str) -> None:
    with pytest.raises(RunError, match=told):
        read("vllm", vllm_file(tmp_path, **changes))


def test_a_date_is_read_as_either_client_writes_it(tmp_path: Path) -> None:
    """vLLM's in Python, and the one in Rust."""
    iso = read("vllm", vllm_file(tmp_path, date="2026-11-27T16:03:39Z"))
    assert iso.started_at == "2026-11-27T16:03:39+00:00"
    assert read("vllm", vllm_file(tmp_path, date="20261127-160339")).started_at == iso.started_at


def test_a_broken_line_is_told_with_its_number(tmp_path: Path) -> None:
    path = tmp_path / "profile_export.jsonl"
    lines = (DATA / "aiperf.jsonl").read_text().splitlines()
    path.write_text("\n".join([lines[0], '{"metadata": 1}']))
    with pytest.raises(RunError, match=r"profile_export.jsonl:2: not a record of AIPerf"):
        read("aiperf", path)
    path.write_text(lines[0].replace('"profiling"', '"warmup"'))
    with pytest.raises(RunError, match="no line is of the phase"):
        read("aiperf", path)


def test_several_benchmarks_are_several_runs(tmp_path: Path) -> None:
    kept = json.loads((DATA / "guidellm.json").read_text())
    path = tmp_path / "two.json"
    path.write_text(json.dumps(kept | {"benchmarks": kept["benchmarks"] * 2}))
    with pytest.raises(RunError, match="holds 2 benchmarks"):
        read("guidellm", path)
