"""The GitHub Action: its form, its shell, and what its steps do when they are carried out."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests import composite
from tests.scripted_server import refused_url

ROOT = Path(__file__).parents[1]
ACTION = ROOT / "action.yml"
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
BIN = Path(sys.executable).parent
SCENARIO = """\
name: tiny
seed: 3
endpoint:
  type: in_process
  engine: {model: llama-3-8b, executor: {type: roofline, device: l4}}
workload:
  type: synthetic
  prompt_tokens: {type: fixed, value: 64}
  output_tokens: {type: fixed, value: 4}
arrivals: {type: poisson, rate: 4}
limits: {requests: 60}
slo: {default: {ttft: 500ms}}
"""


def runs(document: dict[str, Any]) -> list[dict[str, Any]]:
    """Every step that has a shell."""
    jobs = document.get("jobs", {}).values()
    steps = document.get("runs", {}).get("steps", []) + [s for job in jobs for s in job["steps"]]
    return [step for step in steps if "run" in step]


@pytest.mark.parametrize(
    "words",
    [
        ["check-jsonschema", "--builtin-schema", "vendor.github-actions", str(ACTION)],
        ["check-jsonschema", "--builtin-schema", "vendor.github-workflows", *map(str, WORKFLOWS)],
        ["zizmor", "--offline", "--no-progress", "--no-config", str(ACTION), *map(str, WORKFLOWS)],
    ],
    ids=["action", "workflows", "zizmor"],
)
def test_the_form_is_right(words: list[str]) -> None:
    ended = subprocess.run([BIN / words[0], *words[1:]], capture_output=True, text=True, timeout=60)
    assert ended.returncode == 0, ended.stdout + ended.stderr


@pytest.mark.parametrize("path", [ACTION, *WORKFLOWS], ids=lambda path: path.stem)
def test_the_shell_is_sound_and_takes_nothing_but_variables(path: Path) -> None:
    for step in runs(composite.read(path)):
        assert "${{" not in step["run"], step
        ended = subprocess.run(
            [BIN / "shellcheck", "--shell=bash", "-"],
            input=step["run"],
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert ended.returncode == 0, ended.stdout


@pytest.mark.parametrize("path", [ACTION, *WORKFLOWS], ids=lambda path: path.stem)
def test_other_actions_are_pinned(path: Path) -> None:
    for used in re.findall(r"uses: (\S+)", path.read_text()):
        assert used == "./" or re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}", used), used


@pytest.mark.parametrize("kind", ["inputs", "outputs"])
def test_the_page_names_all_there_is(kind: str) -> None:
    page = (ROOT / "docs" / "action.md").read_text()
    _, _, section = page.partition(f"## {kind.capitalize()}\n")
    table = re.findall(r"^\| `([\w-]+)` \|(?: (.*?) \|)?", section.partition("\n## ")[0], re.M)
    found = composite.read(ACTION)[kind]
    assert [name for name, _ in table] == list(found)
    if kind == "inputs":
        for name, default in table:
            told = "required" if found[name].get("required") else found[name]["default"]
            assert default.strip("`") == told, name


def carried_out(folder: Path, inputs: dict[str, str], **environment: str) -> composite.Ended:
    (folder / "tiny.yaml").write_text(SCENARIO)
    return composite.execute(
        ACTION,
        {"scenario": "tiny.yaml", **inputs},
        folder,
        stubs={"install": {"python": sys.executable}},
        environment={"PYTHONPATH": str(ROOT), **environment},
    )


def test_a_limit_that_is_kept_passes(tmp_path: Path) -> None:
    ended = carried_out(tmp_path, {"limit": "ttft_p50=400ms\n"}, BENCHSUITE_API_KEY="s3cret")
    assert not ended.failed, ended.log
    assert (ended.outputs["verdict"], ended.outputs["exit-code"]) == ("pass", "0")
    assert 0 < float(ended.outputs["ttft-p50-ms"]) < 400
    assert ended.outputs["slo-attainment"] == "1"
    assert Path(ended.outputs["report-html"]).is_file()
    assert json.loads(Path(ended.outputs["result-json"]).read_bytes())["verdict"] == "pass"
    assert "tiny" in ended.summary
    assert "::error" not in ended.log
    assert ended.log.count("s3cret") == ended.log.count("::add-mask::s3cret") == 1
    assert ended.used["actions/upload-artifact"]["path"] == str(tmp_path / "benchsuite-report")
    assert ended.used["actions/setup-python"] == {"python-version": "3.12"}


def test_a_missed_limit_fails_and_is_uploaded(tmp_path: Path) -> None:
    ended = carried_out(
        tmp_path, {"limit": "ttft_p50=1us", "python": "system", "report-dir": "a/../out"}
    )
    assert ended.failed
    assert (ended.outputs["verdict"], ended.outputs["exit-code"]) == ("fail", "99")
    assert "::error title=SLO missed" in ended.log
    assert list(ended.used) == ["actions/upload-artifact"]
    assert ended.used["actions/upload-artifact"]["path"] == str(tmp_path / "out"), "takes no dots"


def test_a_slower_engine_is_a_regression(tmp_path: Path) -> None:
    """Each of its steps takes 20 ms longer."""
    engine = "endpoint.engine.executor.overhead_s"
    slower = {"set": f"{engine}=0.0202", "baseline-set": f"{engine}=0.0002", "repeats": "7"}
    ended = carried_out(tmp_path, slower)
    assert ended.failed
    assert (ended.outputs["verdict"], ended.outputs["exit-code"]) == ("fail", "98")
    assert "::error title=Regression" in ended.log
    metrics = {one["metric"] for one in json.loads(ended.outputs["regressions"])}
    assert {"ttft_p50", "tpot_p50"} <= metrics
    assert "ttft&#95;p50 is worse" in ended.summary


def test_a_run_that_does_not_count_is_invalid(tmp_path: Path) -> None:
    ended = carried_out(tmp_path, {"set": "validity.min_requests=1000"})
    assert ended.failed
    assert (ended.outputs["verdict"], ended.outputs["exit-code"]) == ("invalid", "4")
    assert "::error title=Invalid" in ended.log


@pytest.mark.parametrize(
    ("inputs", "code"),
    [
        ({"scenario": "nothing.yaml"}, "2"),
        ({"target-url": refused_url(), "set": "endpoint.ready_within=1s"}, "3"),
        ({"scenario": "--help"}, "2"),
        ({"scenario": "$(touch injected)"}, "2"),
    ],
)
def test_what_cannot_be_measured_is_an_error(
    tmp_path: Path, inputs: dict[str, str], code: str
) -> None:
    ended = carried_out(tmp_path, inputs)
    assert ended.failed
    assert (ended.outputs["verdict"], ended.outputs["exit-code"]) == ("error", code), ended.log
    assert f"ended with exit code {code}" in ended.log
    assert not (tmp_path / "injected").exists()


@pytest.mark.parametrize(("extras", "wanted"), [("engine", f"{ROOT}[engine]"), ("", str(ROOT))])
def test_the_copy_at_hand_is_installed_or_the_step_fails(
    tmp_path: Path, extras: str, wanted: str
) -> None:
    """With a Python that only notes what it is told, and ends with 1 where it is to measure."""
    (tmp_path / "bin").mkdir()
    tool = tmp_path / "bin" / "python3"
    noting = tmp_path / "noting"
    noting.write_text(
        f'#!/bin/sh\nprintf "%s\\n" "$@" >> {tmp_path}/told\n[ "$3" = install ] || exit 1\n'
    )
    noting.chmod(0o755)
    tool.write_text(f'#!/bin/sh\nmkdir -p "$3/bin"\ncp {noting} "$3/bin/python"\n')
    tool.chmod(0o755)
    ended = composite.execute(
        ACTION,
        {"scenario": "x", "python": "system", "extras": extras},
        tmp_path,
        stubs={},
        environment={"PATH": f"{tmp_path}/bin:/usr/bin:/bin"},
    )
    told = (tmp_path / "told").read_text().splitlines()
    assert told[:3] == ["-m", "pip", "install"]
    assert wanted in told
    assert str(ROOT / "constraints.txt") in told
    assert told[told.index("benchsuite") - 1 :][:3] == ["-m", "benchsuite", "ci"]
    assert (ended.failed, ended.outputs["exit-code"]) == (True, "1")


def test_a_failed_installation_fails(tmp_path: Path) -> None:
    """Without a gate there is nothing to upload, and no exit code but our own."""
    (tmp_path / "bin").mkdir()
    tool = tmp_path / "bin" / "python3"
    tool.write_text("#!/bin/sh\nexit 1\n")
    tool.chmod(0o755)
    ended = composite.execute(
        ACTION,
        {"scenario": "x", "python": "system"},
        tmp_path,
        stubs={},
        environment={"PATH": f"{tmp_path}/bin:/usr/bin:/bin"},
    )
    assert ended.failed
    assert ended.used == {}
    assert ended.outputs["exit-code"] == ""


# --- recipes of the page: steps that users copy into their workflow ---------------------------

GH = """#!/bin/sh
printf '%s\\n' "$*" >> calls
case "$*" in
    *--paginate*) cat existing ;;
    "run list"*) echo 77 ;;
esac
"""


def recipe(words: str) -> str:
    """The shell of the one step of docs/action.md that holds `words`."""
    found = re.findall(
        r"^```yml\n(.*?)^```$", (ROOT / "docs" / "action.md").read_text(), re.S | re.M
    )
    (text,) = [one for one in found if words in one]
    (step,) = composite.YAML(typ="safe", pure=True).load(text)
    assert "${{" not in step["run"]
    return str(step["run"])


def copied(words: str, folder: Path, **environment: str) -> list[str]:
    """What the step asks of `gh`, call by call; its shell is sound."""
    (folder / "gh").write_text(GH)
    (folder / "gh").chmod(0o755)
    script = recipe(words)
    for command in (["shellcheck", "--shell=bash", "-"], ["bash", "-e", "-o", "pipefail"]):
        ended = subprocess.run(
            command,
            input=script,
            cwd=folder,
            env={
                "PATH": f"{folder}:{BIN}:/usr/bin:/bin",
                "GITHUB_REPOSITORY": "o/r",
                **environment,
            },
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert ended.returncode == 0, ended.stdout + ended.stderr
    return (folder / "calls").read_text().splitlines()


@pytest.mark.parametrize(
    ("existing", "last"),
    [
        ("", "api --silent repos/o/r/issues/5/comments --field body=@comment.md"),
        (
            "9\n12\n",
            "api --silent --method PATCH repos/o/r/issues/comments/9 --field body=@comment.md",
        ),
    ],
    ids=["first", "again"],
)
def test_one_comment_is_kept_up_to_date(tmp_path: Path, existing: str, last: str) -> None:
    (tmp_path / "existing").write_text(existing)
    (tmp_path / "summary.md").write_text("all is well\n")
    calls = copied("mark=", tmp_path, PULL="5", RESULT=str(tmp_path / "ci.json"))
    assert calls[-1] == last
    assert 'startswith("<!-- benchsuite -->")' in calls[0]
    assert (tmp_path / "comment.md").read_text() == "<!-- benchsuite -->\nall is well\n"


def test_the_baseline_is_that_of_the_last_run_that_passed(tmp_path: Path) -> None:
    calls = copied("gh run download", tmp_path, WORKFLOW="baseline.yml")
    assert "--branch main --status success --limit 1" in calls[0]
    assert calls[1] == "run download 77 --repo o/r --name baseline"
