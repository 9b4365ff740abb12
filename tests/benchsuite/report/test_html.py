"""The page is whole, offline and inert, and says the verdict first.

The golden file is written anew by
`python -m tests.benchsuite.report.test_html > tests/golden/report_summary.html`.
"""

import base64
import gzip
import hashlib
import json
import re
from dataclasses import replace
from functools import cache
from html.parser import HTMLParser
from pathlib import Path

import pytest

from benchsuite.metrics.validity import Check
from benchsuite.records.table import RunData
from benchsuite.report import html
from benchsuite.report.charts import figure
from benchsuite.results.result import RunResult
from tests.benchsuite.report.synthetic import make_data, make_result

GOLDEN = Path(__file__).parents[2] / "golden" / "report_summary.html"
STYLE = Path(html.__file__).with_name("style.css").read_text(encoding="utf-8")
PAYLOADS = (
    "</script><script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<!--<script>",
    "--><svg onload=alert(1)>",
    "]]><b>bold</b>",
    "\"' onmouseover=alert(1) x='",
    "</pre></title></style><iframe src=https://example.com>",
    "{{ 7 * 7 }}{% raw %}",
    "javascript:alert(1)",
    "&lt;img src=x&gt;&#60;b&#62;",
    "<a href='https://example.com'>link</a>%{x}",
    "a\u2028b\u2029c\u202ed\u2066e\x00f\x1bg\ud800",
    "＜script＞ ﹤b﹥",
    "\\u003cscript\\u003e",
)


class Page(HTMLParser):
    """Elements with the names of their attributes, and the text of each script."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, tuple[str, ...]]] = []
        self.attributes: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[tuple[dict[str, str | None], str]] = []
        self.words: list[str] = []
        self._open: dict[str, str | None] | None = None
        longest = max(re.findall(r"[A-Za-z0-9+/=]+", text), key=len)
        self.packed = longest if len(longest) > 100_000 else ""
        self.feed(text.replace(self.packed, "") if self.packed else text)  # it is slow to parse
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, tuple(name for name, _ in attrs)))
        self.attributes.append((tag, dict(attrs)))
        if tag == "script":
            self._open = dict(attrs)
            self.scripts.append((self._open, ""))

    def handle_endtag(self, tag: str) -> None:
        if tag == "script":
            self._open = None

    def handle_comment(self, data: str) -> None:
        self.elements.append(("comment", (data,)))

    def handle_data(self, data: str) -> None:
        if self._open is not None:
            self.scripts[-1] = (self._open, self.scripts[-1][1] + data)
        else:
            self.words.append(data)

    def script(self, name: str | None) -> str:
        return next(text for attrs, text in self.scripts if attrs.get("id") == name)


@cache
def usual() -> tuple[str, Page]:
    data = make_data()
    text = html.render(make_result(data), data)
    return text, Page(text)


def summary_of(text: str) -> str:
    """Everything a reader sees before the charts."""
    return text[text.index("<header>") : text.index("<h2>Charts</h2>")]


def test_only_the_two_known_scripts_may_run() -> None:
    """The policy lists the hashes of our script and of plotly's, as unpacked, and nothing else."""
    text, page = usual()
    library = gzip.decompress(base64.b64decode(page.packed))
    digests = [
        base64.b64encode(hashlib.sha256(script).digest()).decode()
        for script in (page.script(None).encode(), library)
    ]
    policy = next(a["content"] for t, a in page.attributes if t == "meta" and "http-equiv" in a)
    assert policy == (
        f"default-src 'none'; script-src 'sha256-{digests[0]}' 'sha256-{digests[1]}'; "
        "style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"
    )
    assert text.index("Content-Security-Policy") < text.index("<style>") < text.index("<script")
    assert page.packed == re.search(r'id="plotly">([^<]*)</script>', text)[1]  # type: ignore[index]
    kinds = [attrs.get("type") for attrs, _ in page.scripts]
    assert kinds[-2:] == ["application/octet-stream", None]
    assert set(kinds[:-2]) == {"application/json"}


def test_the_page_refers_to_nothing_outside_it() -> None:
    """No address in any attribute or style; no element that could load one."""
    _, page = usual()
    loading = {"a", "link", "img", "iframe", "object", "embed", "form", "base", "audio", "video"}
    assert not loading & {tag for tag, _ in page.elements}
    names = {name for _, names in page.elements for name in names}
    assert not names & {"src", "href", "action", "srcset", "data", "poster"}
    assert not [name for name in names if name.startswith("on")]
    assert "url(" not in STYLE
    assert "@import" not in STYLE


def test_the_verdict_comes_first() -> None:
    """Before any number, in words; an invalid run gives its reasons there."""
    text, _ = usual()
    assert text.index("✓ Valid") < text.index('class="facts"') < text.index("<h2>")
    data = make_data(5, 5, fail=0)
    invalid = html.render(make_result(data, verdict="invalid"), data)
    assert invalid.index("✗ Invalid") < invalid.index("too slow") < invalid.index('class="facts"')
    assert "✓ Valid" not in invalid


def test_the_tables_stand_without_a_script() -> None:
    """Verdict, metrics with intervals, targets and every chart's numbers are plain HTML."""
    _, page = usual()
    words = " ".join(page.words)
    for expected in ("Time to first token", "Targets", "n &lt; 100", "86 % to 93 %", "http_500"):
        assert expected.replace("&lt;", "<") in words
    tables = sum(tag == "table" for tag, _ in page.elements)
    figures = sum(tag == "figure" for tag, _ in page.elements)
    assert figures == 11
    assert tables >= figures + 6


def test_every_chart_has_words_for_those_who_do_not_see_it() -> None:
    """A role, a label that is a sentence, and a figure of its own."""
    _, page = usual()
    plots = [attrs for tag, attrs in page.attributes if attrs.get("class") == "plot"]
    assert len({attrs["id"] for attrs in plots}) == 11
    for attrs in plots:
        assert attrs["role"] == "img"
        assert len(attrs["aria-label"] or "") > 40
        assert json.loads(page.script(f"{attrs['id']}-figure"))["data"]


def test_identifiers_are_unique() -> None:
    """A label must point at one thing."""
    _, page = usual()
    found = [attrs["id"] for _, attrs in page.attributes if "id" in attrs]
    assert len(found) == len(set(found))


def test_the_same_run_gives_the_same_page() -> None:
    """Letter by letter: reports can be compared, and made again."""
    data = make_data()
    assert html.render(make_result(data), data) == usual()[0]


def hostile(payload: str) -> tuple[RunResult, RunData]:
    """A run in which everything that comes from outside is `payload`."""
    data = make_data(12, 4, fail=2, classes=("a",))
    data = replace(
        data,
        slo_class=(payload,) * len(data),
        error=tuple(payload if text else "" for text in data.error),
        error_class=tuple(payload if text else "" for text in data.error_class),
    )
    plain = make_result(data, verdict="invalid")
    check = Check(
        name=payload, ok=False, hard=True, value=1.0, limit=0.5, unit=payload, sentence=payload
    )
    summaries = {
        name: type(summary)(**{f: getattr(summary, f) for f in summary.__struct_fields__} | {
            "title": payload, "unit": payload})
        for name, summary in plain.summaries.items()
    }  # fmt: skip
    result = make_result(
        data,
        verdict="invalid",
        name=payload,
        description=payload,
        reasons=(payload,),
        warnings=(payload,),
        checks=(check,),
        errors={payload: 1, f"{payload}2": 1},
        scenario={"name": _encodable(payload), "nested": {_encodable(payload): [payload, 1]}},
        summaries=summaries,
        command=payload,
        partial=payload,
        started_at=payload,
        benchsuite_version=payload,
    )
    return result, data


@cache
def harmless_page() -> Page:
    return Page(html.render(*hostile("harmless")))


def _encodable(text: str) -> str:
    """A scenario is read from UTF-8, which holds no lone surrogates."""
    return text.replace("\ud800", "")


@pytest.mark.parametrize("payload", [" ".join(PAYLOADS), *PAYLOADS[:3], *PAYLOADS[10:12]])
def test_text_from_outside_stays_text(payload: str) -> None:
    """The same elements and attribute names as with harmless words, wherever it stands."""
    harmless = harmless_page()
    text = html.render(*hostile(payload))
    page = Page(text)
    assert page.elements == harmless.elements
    assert [dict(a, id=None) for a, _ in page.scripts] == [
        dict(a, id=None) for a, _ in harmless.scripts
    ]
    text.encode()  # a lone surrogate would not pass
    for attrs, script in page.scripts:
        if attrs.get("type") == "application/json":
            assert "<" not in script
            assert not [t for t in _strings(json.loads(script)) if set("<>&") & set(t)]


def _strings(node: object) -> list[str]:
    """Every text in a figure."""
    if isinstance(node, dict):
        return [text for value in node.values() for text in _strings(value)]
    if isinstance(node, list):
        return [text for value in node for text in _strings(value)]
    return [node] if isinstance(node, str) else []


def test_secrets_stay_references() -> None:
    """The scenario is shown as stored: with the variable's name."""
    assert "${env:API_KEY}" in usual()[0]


@pytest.mark.parametrize(
    "data",
    [make_data(0), make_data(1, 1, fail=0), make_data(3, 5, fail=3), make_data(20, is_closed=True)],
    ids=["nothing sent", "one request of one token", "all failed", "closed loop"],
)
def test_every_run_has_a_report(data: RunData, tmp_path: Path) -> None:
    """However little was measured."""
    html.write(make_result(data), data, tmp_path / "report.html")
    page = Page((tmp_path / "report.html").read_text(encoding="utf-8"))
    assert "How it was made" in page.words
    assert "nan" not in " ".join(page.words)


def test_a_page_without_charts_carries_no_script() -> None:
    """Nothing to draw, nothing to run."""
    assert Page(html.render(make_result(make_data(0)), make_data(0))).scripts == []


def test_a_report_of_ten_thousand_requests_is_small() -> None:
    """Under 3 MB in all, of which the charts are a part that no longer grows with the run."""
    data = make_data(10_000, 8, rate=100)
    text = html.render(make_result(data), data)
    page = Page(text)
    assert len(text.encode()) < 3_000_000
    figures = sum(len(t) for a, t in page.scripts if a.get("type") == "application/json")
    assert figures < 600_000


def test_the_summary_does_not_change_unnoticed() -> None:
    """Everything before the charts, as it stood when somebody last looked at it."""
    assert summary_of(usual()[0]) == GOLDEN.read_text(encoding="utf-8")


def test_chart_colours_are_those_that_the_page_can_exchange() -> None:
    """Each stands in the light theme under its own name."""
    light = themes()[0]
    for name in ("INK", "MUTED", "LINE", "PAPER", "PANEL", "BLUE", "VERMILLION", "GREEN", "PURPLE"):
        assert light[name.lower()] == getattr(figure, name)


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
def test_colours_can_be_read(theme: int) -> None:
    """WCAG 2.2 AA: text 4.5 to 1 on both grounds; marks 3 to 1."""
    colours = themes()[theme]
    for ground in ("paper", "panel"):
        for name in ("ink", "muted", "good", "bad"):
            assert contrast(colours[name], colours[ground]) >= 4.5, (name, ground)
    for name in ("blue", "vermillion", "green", "purple"):
        assert contrast(colours[name], colours["paper"]) >= 3, name


def themes() -> tuple[dict[str, str], dict[str, str]]:
    """Custom properties of style.css: light, then dark."""
    found = [
        dict(re.findall(r"--([a-z]+): (#[0-9a-f]{6});", block))
        for block in re.findall(r":root[^{]*\{([^}]*)\}", STYLE)
    ]
    assert found[0].keys() == found[1].keys()
    return found[0], found[1]


def contrast(one: str, other: str) -> float:
    """(L1 + 0.05) / (L2 + 0.05) of the relative luminances, WCAG 2.2."""
    low, high = sorted((_luminance(one), _luminance(other)))
    return (high + 0.05) / (low + 0.05)


def _luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


if __name__ == "__main__":
    print(summary_of(usual()[0]), end="")  # noqa: T201
