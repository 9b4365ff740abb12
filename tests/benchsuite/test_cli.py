"""Commands over run folders, in this process."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from benchsuite import cli
from benchsuite.cli import base
from benchsuite.errors import ScenarioError

DATA = Path(__file__).parents[1] / "data" / "imports"


def invoked(*words: str) -> tuple[int, str]:
    """Exit code and standard output; a user's mistake is raised."""
    result = CliRunner().invoke(cli.app, list(words))
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.output


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An imported run."""
    out = tmp_path_factory.mktemp("imported") / "run"
    code, said = invoked("import", str(DATA / "guidellm.json"), "--out", str(out))
    assert code in (base.OK, base.INVALID), said
    return out


def test_recompute_prints_names_and_values(folder: Path) -> None:
    code, said = invoked("recompute", str(folder), "--as", "guidellm", "--json")
    assert code == base.OK
    assert json.loads(said)["output_token_count.mean"] == 64.0
    code, said = invoked("recompute", str(folder), "--as", "vllm")
    assert any(line.split() == ["completed", "2"] for line in said.splitlines())


def test_export_writes_to_a_file(folder: Path, tmp_path: Path) -> None:
    code, _ = invoked("export", str(folder), "--to", "vllm", "--out", str(tmp_path / "v.json"))
    assert code == base.OK
    assert json.loads((tmp_path / "v.json").read_text())["num_prompts"] == 2


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("recompute", "RUN", "--as", "wrk"), "expected one of vllm"),
        (("export", "RUN", "--to", "excel"), "expected one of vllm"),
        (("import", str(DATA.parent / "gsm8k.jsonl")), "not a record of AIPerf"),
        (("import", str(DATA.parent / "README.md")), "not a result file of"),
        (("ci", "x.yaml", "--baseline", "command"), "needs what is different of before"),
        (("ci", "x.yaml", "--fingerprint", "570"), "--fingerprint 570: expected KEY=VALUE"),
        (("sweep", "x.yaml", "--goodput", "--vary", "a=1", "--out", "x"), "takes no --vary"),
    ],
)
def test_mistakes_are_told(folder: Path, words: tuple[str, ...], told: str) -> None:
    with pytest.raises(Exception, match=told) as caught:
        invoked(*(str(folder) if word == "RUN" else word for word in words))
    assert isinstance(caught.value, ScenarioError) or "AIPerf" in told


def test_a_path_that_is_not_there_is_the_caller_s_mistake(
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    nowhere = str(tmp_path / "no" / "v.json")
    monkeypatch.setattr(
        "sys.argv", ["benchsuite", "export", str(folder), "--to", "vllm", "--out", nowhere]
    )
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 2
    assert f"{nowhere}: No such file" in capsys.readouterr().err
