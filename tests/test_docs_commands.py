"""The commands of the pages for readers work: run where no server is needed, else understood."""

import os
import re
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer.main

from benchsuite.cli import app
from benchsuite.scenario import load
from tests.test_docs import BY_NAME, ROOT, blocks, pages

TRIED = ["docs/tutorial.md", *sorted(name for name in BY_NAME if name.startswith("docs/howto/"))]
# Commands that the tests of their own run, since they take a page's reader minutes.
LONG = ("--goodput", "--aa", "--listen")
# What is not ours to run. Any other program in a block is an error.
OTHERS = {"pip", "ray", "kubectl", "export", "curl", "source", "ls"}


def lines(page: str) -> Iterator[list[str]]:
    """The words of every command in the shell blocks of a page."""
    for block in blocks(page):
        if block.language in ("sh", "console", "bash", "shell"):
            joined = block.text.replace("\\\n", " ")
            yield from filter(
                None, (shlex.split(one, comments=True) for one in joined.splitlines())
            )


@pages
def test_every_command_is_one_that_some_test_knows(name: str) -> None:
    """benchsuite's and the engine's are parsed by test_docs; scripts exist; extras are declared."""
    extras = re.findall(
        r"^(\w+) = \[$", (ROOT / "pyproject.toml").read_text(encoding="utf-8"), re.M
    )
    for words in lines(BY_NAME[name]):
        if words[0].startswith("./"):
            assert os.access(ROOT / words[0], os.X_OK), words
        elif words[0] == "python":
            is_ours = words[1].startswith("benchmarks/") and (ROOT / words[1]).is_file()
            assert is_ours or words[1:3] == ["-m", "reference_engine"], words
        else:
            assert words[0] in OTHERS | {"benchsuite"}, words
        for extra in re.findall(r"\[(\w+)\]", " ".join(words)) if words[0] == "pip" else ():
            assert extra in extras, words


def endpoint_of(words: list[str]) -> str | None:
    """The type of endpoint that a command would send to; None if it sends nothing."""
    if words[0] not in ("run", "sweep", "ci"):
        return None
    path = Path(words[1])
    # A file that the reader writes for a server of their own.
    return load(path).endpoint.__struct_config__.tag if path.exists() else "a server"


@pytest.mark.parametrize("name", TRIED)
def test_commands_do_what_the_page_says(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In order, in one folder. What sends is cut to 12 requests, which may be too few to be valid;
    the tutorial's first run and gates are whole, and valid."""
    shutil.copytree(ROOT / "scenarios", tmp_path / "scenarios")
    for block in (*blocks(BY_NAME["docs/tutorial.md"]), *blocks(BY_NAME[name])):
        if found := re.search(r"^name: (\w+)$", block.text, re.M):
            (tmp_path / f"{found[1]}.yaml").write_text(block.text, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    group = typer.main.get_group(app)
    ran = 0
    for _, *words in (one for one in lines(BY_NAME[name]) if one[0] == "benchsuite"):
        runs = [word for word in words[1:] if word.startswith("runs/")]
        inputs = [one for one in runs if words[words.index(one) - 1] not in ("--out", "--html")]
        sends = endpoint_of(words) not in (None, "in_process")
        missing = words[0] in ("compare", "frontier") and not all(
            Path(one).exists() for one in inputs
        )
        if sends or missing or set(words) & set(LONG):
            group.commands[words[0]].make_context(words[0], words[1:]).close()
            continue
        cut = words[0] in ("run", "sweep") and "runs/first" not in words
        few = ["--set", "limits.requests=12", "--set", "limits.warmup=0s"] if cut else []
        force = ["--force"] if words[0] == "compare" else []  # runs that were cut are not valid
        code = app([*words, *few, *force], standalone_mode=False)
        assert code in (None, 0, *([4] if cut else [])), words
        if "--out" in words:
            assert Path(words[words.index("--out") + 1]).exists(), words
        ran += 1
    assert ran >= 1
