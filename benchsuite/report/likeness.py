"""Two workloads side by side, for a terminal."""

from collections.abc import Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from benchsuite.report.quantities import number, visible
from benchsuite.workloads.likeness import Likeness


def show(names: tuple[str, str], found: Sequence[Likeness], console: Console) -> None:
    """The last column: how much more the second has, or the distance of the two."""
    table = Table(box=SIMPLE_HEAD)
    for head in ("", *map(visible, names), "difference"):
        table.add_column(Text(head), justify="right" if head else "left")
    for each in found:
        unit = f", {each.unit}" if each.unit else ""
        cells = (each.name + unit, _cell(each.one), _cell(each.other), difference(each))
        table.add_row(*map(Text, cells))
    console.print(table)


def difference(each: Likeness) -> str:
    if each.distance is not None:
        return number(each.distance)
    if each.one is None or each.other is None:
        return ""
    more = each.other - each.one
    return ("+" if more > 0 else "") + number(more)


def _cell(value: float | None) -> str:
    return "" if value is None else number(value)
