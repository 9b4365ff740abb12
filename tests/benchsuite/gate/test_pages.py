"""What is written for others to read: names that attack it stay names; limits of GitHub hold."""

import json
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from benchsuite.comparison.verdicts import Verdict
from benchsuite.gate import github, pages, writing
from benchsuite.gate.limits import Limit
from benchsuite.gate.outcome import Made, Outcome, Report, SelfCheck
from benchsuite.results.environment import Environment

HOSTILE = "a|b\n::error::`<img src=x onerror=alert(1)>` @team [x](http://e) \x1b[31m,:%0A"

VERDICT = Verdict(
    metric="ttft_p50",
    title="TTFT",
    unit="s",
    better="lower",
    word="worse",
    scale="ratio",
    is_paired=True,
    min_effect=0.05,
    confidence=0.95,
    baseline=0.1,
    now=0.12,
    num_baseline=7,
    num_now=7,
    effect=0.2,
    interval=(0.15, 0.25),
    p=0.0078,
    p_adjusted=0.031,
)
LIMIT = Limit(
    name="attainment[default]",
    title="Attainment",
    unit="",
    limit=0.9,
    better="higher",
    value=0.7,
    interval=(0.65, 0.75),
    num_runs=7,
    standing="missed",
)


def report(scenario: str = "chat", **changes: Any) -> Report:
    plain = Outcome(
        scenario=scenario,
        mode="both",
        verdict="fail",
        reasons=("ttft_p50 is worse",),
        limits=(LIMIT,),
        comparisons=(VERDICT,),
        runs=(
            Made(
                name="00-now",
                folder="runs/00-now",
                side="now",
                pair=0,
                seed=1,
                verdict="invalid",
                reasons=(HOSTILE,),
            ),
        ),
        figures={"ttft_p50": 0.12, "goodput": 3.5},
        self_check=SelfCheck(num_relabelled=128, num_alarms=2, rate=2 / 128),
    )
    return Report(
        benchsuite_version="0.1.0",
        verdict="fail",
        exit_code=99,
        fail_on=("slo",),
        started_at="2026-01-01T00:00:00+00:00",
        command="benchsuite ci",
        environment=Environment.unknown(),
        outcomes=(replace(plain, **changes),),
    )


def test_the_summary_has_a_table() -> None:
    text = pages.markdown(report())
    assert "| ttft&#95;p50 | 100 ms | 120 ms | +20.0 % (+15.0 to +25.0 %) | | ❌ worse |" in text
    assert "| 70 % (65 % to 75 %) | | 90 % | ❌ missed |" in text
    assert "2 alarms in 128 relabelled pair sets" in text


def test_hostile_names_stay_names() -> None:
    told = report(HOSTILE, notes=(HOSTILE,), reasons=(HOSTILE,))
    text = pages.markdown(told)
    assert "<img" not in text
    assert "@team" not in text
    assert "http:" not in text
    assert "\x1b" not in text
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert {len(re.findall(r"\|", row)) for row in rows} == {7}
    assert all(line.startswith("::") for line in github.annotations(told))
    suite = ET.fromstring(pages.junit(told))[0]
    assert "<img" in suite.attrib["name"]
    assert "\x1b" not in suite.attrib["name"]


def test_no_line_of_a_log_is_a_command_unless_it_is_meant() -> None:
    """GitHub's runner obeys any line that begins with two colons."""
    told = report("\n::set-output name=x::y", notes=("::add-mask::a",), reasons=("\n::stop::",))
    for line in "\n".join(pages.lines(told.outcomes)).splitlines():
        assert not line.lstrip().startswith("::")


def test_annotations_are_as_the_runner_reads_them() -> None:
    found = list(github.annotations(report("50%, a:b")))
    assert found == [
        "::error title=SLO missed%3A 50%25%2C a%3Ab::"
        "attainment[default] is 70 %25 (65 %25 to 75 %25), limit 90 %25",
        "::error title=Regression%3A 50%25%2C a%3Ab::ttft_p50 is worse: +20.0 %25 (+15.0 to +25.0 "
        "%25), from 100 ms to 120 ms over 7 runs (p 0.031)",
    ]


def test_ten_of_a_level_at_most() -> None:
    worse = tuple(replace(VERDICT, metric=f"m{at}") for at in range(30))
    open_ = tuple(replace(one, word="inconclusive") for one in worse)
    found = list(github.annotations(report(comparisons=worse + open_, limits=())))
    assert sum(line.startswith("::error") for line in found) == 10
    assert sum(line.startswith("::warning") for line in found) == 10
    assert "and 21 more" in found[9]


def test_the_summary_is_appended_and_never_too_long(tmp_path: Path) -> None:
    path = tmp_path / "summary"
    path.write_text("before\n")
    github.append_summary("ours\n", path)
    assert path.read_text() == "before\nours\n"
    github.append_summary("é" * 600_000, path)
    github.append_summary("more", path)
    assert path.stat().st_size <= github.MOST_BYTES + len(github.CUT)
    assert path.read_text().startswith("before\nours\né")
    assert github.CUT.strip() in path.read_text()


@given(st.text())
def test_an_output_cannot_add_another(value: str) -> None:
    import tempfile

    with tempfile.NamedTemporaryFile() as file:
        path = Path(file.name)
        clean = value.encode(errors="replace").decode()
        github.append_outputs({"a": clean, "b": "2"}, path)
        assert parsed(path.read_bytes().decode()) == {"a": clean, "b": "2"}


def parsed(text: str) -> dict[str, str]:
    """As the runner reads the file: NAME<<END, lines, END."""
    found, lines = {}, iter(text.split("\n"))
    for line in lines:
        if line:
            name, _, end = line.partition("<<")
            kept = []
            while (more := next(lines)) != end:
                kept.append(more)
            found[name] = "\n".join(kept)
    return found


def test_all_files_of_a_gate(tmp_path: Path) -> None:
    made = tmp_path / "out" / "chat" / "runs" / "00-now"
    made.mkdir(parents=True)
    (made / "report.html").touch()
    said: list[str] = []
    env = {
        "GITHUB_ACTIONS": "true",
        "GITHUB_OUTPUT": str(tmp_path / "output"),
        "GITHUB_STEP_SUMMARY": str(tmp_path / "summary"),
    }
    writing.write(report(), tmp_path / "out", env, said.append)
    outputs = parsed((tmp_path / "output").read_text())
    assert outputs["verdict"] == "fail"
    assert outputs["exit-code"] == "99"
    assert outputs["ttft-p50-ms"] == "120"
    assert outputs["ttft-p99-ms"] == ""
    assert json.loads(outputs["regressions"]) == [{"scenario": "chat", "metric": "ttft_p50"}]
    assert outputs["report-html"] == str(made / "report.html")
    assert "csv" not in outputs
    assert len(said) == 2
    smaller = json.loads((tmp_path / "out" / writing.SMALLER).read_text())
    assert [(one["name"], one["value"], one["unit"]) for one in smaller] == [
        ("chat: ttft_p50", 120.0, "ms")
    ]
    bigger = json.loads((tmp_path / "out" / writing.BIGGER).read_text())
    assert bigger[0]["name"] == "chat: attainment[default]"
    assert json.loads((tmp_path / "out" / "ci.json").read_text())["verdict"] == "fail"
    assert (tmp_path / "summary").read_text() == (tmp_path / "out" / "summary.md").read_text()


def test_without_github_nothing_is_said(tmp_path: Path) -> None:
    said: list[str] = []
    writing.write(report(), tmp_path, {}, said.append)
    assert said == []


@pytest.mark.parametrize(
    ("changes", "counts"),
    [
        ({}, ("3", "2", "0", "0")),
        ({"verdict": "invalid", "limits": (), "comparisons": ()}, ("1", "0", "1", "0")),
        ({"limits": (), "comparisons": (replace(VERDICT, word="inconclusive"),)}, tuple("2001")),
    ],
)
def test_junit_counts(changes: Any, counts: tuple[str, ...]) -> None:
    suite = ET.fromstring(pages.junit(report(**changes)))[0]
    names = ("tests", "failures", "errors", "skipped")
    assert tuple(suite.attrib[name] for name in names) == counts
    assert len(suite) == int(counts[0])


def test_an_invalid_scenario_is_no_point_of_a_curve() -> None:
    assert json.loads(writing.points(report(verdict="invalid"), "lower")) == []
