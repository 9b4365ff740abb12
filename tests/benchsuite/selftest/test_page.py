"""What a selftest says: in words, on a terminal, as a page."""

import io
import re
from xml.etree import ElementTree

from rich.console import Console

from benchsuite.selftest.page import Line, chart, notes, render, show, tables, verdict
from tests.benchsuite.selftest.curves import curve, request_point, token_point


def test_the_verdict_names_the_largest_loads_that_were_good() -> None:
    assert verdict(curve()) == (
        "Token times can be trusted up to 64 streams and 3,200 tokens/s, sending on time up to "
        "100 requests/s, in each sending process."
    )


def test_a_client_that_was_good_nowhere_is_not_called_good() -> None:
    """No load of zero, and not in the colour of what is well."""
    bad = curve(requests=(request_point(50, p99_s=0.05),))
    assert "sending on time at none of these loads" in verdict(bad)
    assert 'class="verdict invalid"' in render(bad)
    assert 'class="verdict valid"' in render(curve())


def test_every_point_has_a_row_with_its_mark() -> None:
    tokens, requests = tables(curve())
    assert [row[-1] for row in tokens.rows] == ["✓", "✓", "✗", ""]
    assert [row[-1] for row in requests.rows] == ["✓", "✓", "✗"]
    assert tokens.rows[0][:6] == ("16", "800", "800", "5 / 50", "100 / 1,000", "12")
    assert requests.rows[0] == ("50", "50", "40 / 400", "3 / 30", "300", "✓")
    assert {len(row) for row in tokens.rows} == {len(tokens.head)}
    assert {len(row) for row in requests.rows} == {len(requests.head)}


def test_what_spoils_a_curve_is_said() -> None:
    assert notes(curve()) == ()
    busy = curve(requests=(request_point(50, others_cpu=1.5),))
    assert "1.50 cores" in notes(busy)[0]
    idle = curve(tokens=(token_point(64, asked_tokens_per_s=None),), is_quick=True)
    assert ["emitter was the limit" in notes(idle)[0], "quick" in notes(idle)[1]] == [True, True]


def test_it_fits_a_narrow_terminal() -> None:
    file = io.StringIO()
    show(curve(), Console(width=80, file=file))
    text = file.getvalue()
    assert "…" not in text
    assert "100 / 1,000" in text


def test_the_page_is_one_file_that_runs_nothing_and_escapes_what_it_shows() -> None:
    page = render(curve())
    assert "<script" not in page
    assert not re.search(r"(?:src|href|url)\s*[=(]", page)
    assert "<b>one" not in page
    assert "&lt;b&gt;one" in page
    assert page.count("<svg") == 3
    assert page == render(curve())
    assert len(page) < 60_000


def test_a_chart_is_sound_and_its_points_lie_inside() -> None:
    """Both axes are logarithmic: ten times more is one decade further."""
    svg = chart("streams", "us", [Line("p99", "blue", ((1, 5), (10, 50), (512, 60_000)))])
    tree = ElementTree.fromstring(svg)
    places = [(float(one.get("cx", "")), float(one.get("cy", ""))) for one in tree.iter("circle")]
    assert len(places) == 3
    assert all(0 < x < 640 and 0 < y < 300 for x, y in places)
    assert places[0][0] < places[1][0] < places[2][0]
    assert places[0][1] > places[1][1] > places[2][1]


def test_a_chart_of_nothing_is_nothing() -> None:
    assert chart("streams", "us", [Line("p99", "blue", ())]) == ""
    assert render(curve(tokens=(), requests=()))


def test_one_point_is_a_chart_too() -> None:
    assert "circle" in chart("streams", "us", [Line("p99", "blue", ((100, 100),))])
