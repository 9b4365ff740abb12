"""A comparison for a terminal: what differs first, then verdicts, then what else was seen."""

from collections.abc import Sequence
from typing import Final

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from benchsuite.comparison import words
from benchsuite.comparison.compare import Against, Comparison
from benchsuite.report.quantities import visible
from benchsuite.report.terminal import print_whole

RUNS: Final = words.HEAD.index("runs")
COLOURS: Final = {
    "worse": "red",
    "better": "green",
    "equivalent": "green",
    "inconclusive": "yellow",
}


def show(found: Comparison, console: Console) -> None:
    """Everything but the shift functions, which the page draws."""
    show_differences(found, console)
    for one in found.against:
        _show_side(found, one, console)


def show_differences(found: Comparison, console: Console) -> None:
    """A table of what is not the same on all sides."""
    rows = words.difference_rows(found)
    if not rows:
        console.print(Text("Nothing differs but what was found."))
        return
    print_whole(_table(words.difference_head(found), rows, 99), console)
    if found.is_forced:
        console.print(Text("! compared nonetheless, as --force asks", "yellow"))


def _show_side(found: Comparison, one: Against, console: Console) -> None:
    named = f"{visible(one.name)} against {visible(found.baseline)}"
    console.print(Text(named), soft_wrap=True)
    console.print(Text(visible(words.headline(one)), f"bold {COLOURS[one.word]}"), soft_wrap=True)
    for sentence in words.sentences(one):
        console.print(Text(sentence))
    for is_declared in (True, False):
        rows = [words.cells(row) for row in one.rows if row.is_declared is is_declared]
        if rows:
            if not is_declared:
                console.print(Text("Beside them, each on its own: one in twenty strays by chance."))
            print_whole(_table(words.HEAD, rows, 2), console)


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]], numeric: int) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for at, name in enumerate(head):
        table.add_column(Text(visible(name)), justify="right" if numeric <= at < RUNS else "left")
    for row in rows:
        table.add_row(*(Text(visible(cell)) for cell in row))
    return table
