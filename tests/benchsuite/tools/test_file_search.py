"""A search finds the lines that hold most of the words."""

from pathlib import Path

import pytest

from benchsuite.errors import ScenarioError
from benchsuite.tools.file_search import search


@pytest.fixture
def folder(tmp_path: Path) -> str:
    (tmp_path / "b.txt").write_text("Refunds take five days.\n\nFlights leave at noon.\n")
    (tmp_path / "a.txt").write_text("A refund needs a receipt.\nRefunds take a while.\n")
    (tmp_path / "binary").write_bytes(b"\xff\xfe refunds")
    return str(tmp_path)


def test_best_lines_first(folder: str) -> None:
    """By the number of words, then by path; case does not count."""
    found = search(folder, "how many DAYS do refunds take?", 3)
    assert found.splitlines() == [
        "b.txt:1: Refunds take five days.",
        "a.txt:2: Refunds take a while.",
    ]
    assert search(folder, "refunds take", 1) == "a.txt:2: Refunds take a while."


def test_nothing_found_and_nowhere_to_look(folder: str) -> None:
    """The one is an answer, the other the scenario's mistake."""
    assert search(folder, "zebra", 3) == "nothing found"
    with pytest.raises(ScenarioError, match="no such folder"):
        search(folder + "/gone", "refund", 3)
