"""What `benchsuite describe` shows."""

from io import StringIO
from pathlib import Path

from rich.console import Console

from benchsuite import preview
from benchsuite.report import workload
from benchsuite.workloads.description import describe

ROOT = Path(__file__).parents[3]


def test_a_trace_on_a_terminal_and_on_a_page(tmp_path: Path) -> None:
    """The same numbers; no number is cut short; the page fetches nothing."""
    path = ROOT / "scenarios" / "data" / "weka_5.jsonl.gz"
    asked = preview.of_trace(str(path), "weka", {})
    found, columns = describe(asked.sessions, asked.starts_s, asked.count, cache_tokens=(100_000,))
    out = StringIO()
    workload.show("<b>weka</b>", asked.notes, found, Console(file=out, width=40))
    shown = out.getvalue()
    assert "60 " in shown
    assert "5 (1 fork or join)" in shown
    assert "…" not in shown
    workload.write("<b>weka</b>", asked.notes, found, columns, tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    assert "&lt;b&gt;weka" in page
    assert "<b>weka" not in page
    assert "default-src 'none'" in page
    assert "spread-prompt-figure" in page
    for what, value in workload.lines(found):
        assert f'{what}</th><td class="n">{value}' in page


def test_a_scenario_is_described_with_its_own_arrivals() -> None:
    """Its schedule's times, its knobs; of an endless one the first sessions."""
    asked = preview.of_scenario(ROOT / "scenarios" / "trace-azure-code.yaml", ())
    found, _ = describe(asked.sessions, asked.starts_s, asked.count)
    assert found.rate is not None
    assert found.fano["1 s"] > 1.5  # in bursts
    closed = ("arrivals={type: closed_loop, concurrency: 2}", "limits={requests: 7}")
    asked = preview.of_scenario(ROOT / "scenarios" / "quickstart.yaml", closed)
    assert asked.starts_s is None
    assert len(asked.sessions) == 7
