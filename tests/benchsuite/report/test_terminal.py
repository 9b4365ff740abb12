"""The table after a run: verdict first, nothing hidden, nothing obeyed."""

import io
from pathlib import Path

from rich.console import Console

from benchsuite.report.terminal import show
from benchsuite.results.result import RunResult
from tests.benchsuite.report.synthetic import make_data, make_result


def shown(result: RunResult, width: int = 80) -> list[str]:
    console = Console(file=io.StringIO(), width=width, color_system=None)
    show(result, console, Path("runs/chat"))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


def test_a_valid_run_says_so_and_shows_its_numbers() -> None:
    """Verdict, counts, metrics, targets, warnings, path."""
    lines = shown(make_result(make_data(), warnings=("outputs were 2 % too short",)))
    assert lines[0] == "✓ valid: chat-poisson"
    assert lines[1].startswith("300 of 300 requests sent: 282 ok, 18 error.")
    text = "\n".join(lines)
    for expected in ("ttft", "output_token_rate", "tokens/s", "(n < 100)", "86 % to 93 %"):
        assert expected in text
    assert "! outputs were 2 % too short" in lines
    assert lines[-1] == "Report: runs/chat/report.html"


def test_an_invalid_run_gives_its_reasons_before_its_numbers() -> None:
    """The first line says that it does not count, the next ones why."""
    lines = shown(make_result(make_data(), verdict="invalid", partial="interrupted"))
    assert lines[0] == "✗ INVALID: chat-poisson"
    assert "the client was too slow" in lines[1]
    assert "! incomplete: interrupted" in lines


def test_nothing_is_cut_at_eighty_letters() -> None:
    """The usual terminal shows every name and number whole."""
    assert not [line for line in shown(make_result(make_data())) if "…" in line]


def test_nothing_is_cut_in_a_narrow_terminal() -> None:
    """Its lines are broken by the terminal; a number cut short would be a wrong one."""
    result = make_result(make_data())
    assert not [line for line in shown(result, width=40) if "…" in line]


def test_names_cannot_drive_the_terminal() -> None:
    """Escape sequences and markup in a name are shown, not obeyed."""
    lines = shown(make_result(make_data(), name="[red]x[/red]\x1b[2J"))
    assert lines[0] == "✓ valid: [red]x[/red]\\u001b[2J"


def test_a_run_that_sent_nothing_has_a_table_too() -> None:
    """Verdict and path are there; there are no numbers to show."""
    lines = shown(make_result(make_data(0)))
    assert lines[1].startswith("0 of 0 requests sent: 0 ok.")
    assert lines[-1].startswith("Report:")
