"""`benchsuite convert`, as a library."""

import gzip
from pathlib import Path

import pytest

from benchsuite.errors import ScenarioError, TraceError
from benchsuite.workloads import conversion
from benchsuite.workloads.formats import Azure, Jsonl, Mooncake

DATA = Path(__file__).parents[2] / "data"
HEADER = "TIMESTAMP,ContextTokens,GeneratedTokens"


def test_a_trace_is_written_whole_and_packed_alike(tmp_path: Path) -> None:
    """The same bytes each time; a name that ends in .gz is packed."""
    source = conversion.source("mooncake", str(DATA / "mooncake.jsonl"), {"block_tokens": "512"})
    assert source == Mooncake(path=str(DATA / "mooncake.jsonl"))
    for name in ("plain.jsonl", "one.jsonl.gz", "two.jsonl.gz"):
        assert conversion.write(source, tmp_path / name, "fail") == (10, 0, None)
    packed = (tmp_path / "one.jsonl.gz").read_bytes()
    assert packed == (tmp_path / "two.jsonl.gz").read_bytes()
    assert gzip.decompress(packed) == (tmp_path / "plain.jsonl").read_bytes()
    assert len(list(Jsonl(path=str(tmp_path / "one.jsonl.gz")).rows())) == 10


def test_a_broken_row_leaves_no_file_or_is_counted(tmp_path: Path) -> None:
    """Half a trace must not be taken for one."""
    path = tmp_path / "azure.csv"
    path.write_text(f"{HEADER}\n2023-11-16 18:15:46.68,1,1\nsoon,1,1\n")
    out = tmp_path / "out.jsonl"
    with pytest.raises(TraceError, match=r"azure.csv:3: TIMESTAMP"):
        conversion.write(Azure(path=str(path)), out, "fail")
    assert [file.name for file in tmp_path.iterdir()] == ["azure.csv"]
    done = conversion.write(Azure(path=str(path)), out, "skip")
    assert (done.num_rows, done.num_broken) == (1, 1)
    assert out.exists()


def test_what_is_not_known_is_named() -> None:
    """Formats, keys and values, with what would have been right."""
    with pytest.raises(ScenarioError, match=r"--from moon: unknown format \(known: .*mooncake"):
        conversion.source("moon", "x", {})
    with pytest.raises(ScenarioError, match="unknown field `speed`"):
        conversion.source("mooncake", "x", {"speed": "1"})
    with pytest.raises(ScenarioError, match="block_tokens"):
        conversion.source("mooncake", "x", {"block_tokens": "0"})
