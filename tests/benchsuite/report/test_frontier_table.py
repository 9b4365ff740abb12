"""The frontier in a terminal, and the command that makes it."""

from io import StringIO

from rich.console import Console

from benchsuite.report.terminal import show_frontier
from benchsuite.results.frontier import frontier
from tests.benchsuite.results.test_frontier import PARENT, _run


def test_every_run_and_every_curve_has_a_row() -> None:
    """What lies beyond a curve is said, not guessed."""
    out = StringIO()
    runs = [*PARENT, _run("c-low", 12.0, 0.6), _run("c-mid", 3.0, 0.7)]
    show_frontier(frontier(runs, "p-mid"), Console(file=out, width=200))
    text = out.getvalue()
    rows = {line.split()[0]: line for line in text.splitlines() if line.strip()}
    assert "✓" in rows["c-low"]
    assert "✗ behind p-mid" in rows["c-mid"]
    assert "beyond" in text
    assert "1.5" in text
