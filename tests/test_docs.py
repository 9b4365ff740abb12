"""The documentation says what the code does: links, commands, scenarios, examples."""

import argparse
import ast
import os
import re
import runpy
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec
import pytest
import typer.main
from ruamel.yaml import YAML

import reference_engine.__main__ as engine_command
from benchsuite.catalogue import catalogue
from benchsuite.cli import app
from benchsuite.scenario import Scenario, load
from benchsuite.sweep.plan import matrix
from reference_engine.server.protocol.errors import read_body
from reference_engine.server.protocol.requests import ChatRequest, CompletionRequest
from reference_engine.stats import Gauges, Stats
from tests.dialects import DIALECTS
from tests.scripted_server import FAULTS, Script, Step, answer
from tests.servers import served

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = [
    *sorted(DOCS.rglob("*.md")),
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "reports/README.md")),
]
BY_NAME = {str(path.relative_to(ROOT)): path.read_text(encoding="utf-8") for path in PAGES}
pages = pytest.mark.parametrize("name", BY_NAME)


class Block(NamedTuple):
    language: str
    text: str


def blocks(page: str) -> list[Block]:
    found = re.findall(r"^```(\w*)\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    return [Block(language, text) for language, text in found]


def prose(page: str) -> str:
    """The page without its blocks."""
    return re.sub(r"^```.*?^```$", "", page, flags=re.DOTALL | re.MULTILINE)


# Links


def anchors(page: str) -> set[str]:
    """As GitHub makes them."""
    heads = re.findall(r"^#+ (.*)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


@pages
def test_links_lead_somewhere(name: str) -> None:
    """A relative link names a file of the project, and a heading of it that exists."""
    page = ROOT / name
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(BY_NAME[name])):
        if target.startswith(("http://", "https://")):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), target
        if anchor:
            assert anchor in anchors(file.read_text(encoding="utf-8")), target


@pages
def test_files_that_are_named_exist(name: str) -> None:
    """Paths of code, pages and scripts in running text, from the root of the project."""
    if name == "docs/extending.md":
        return  # names files to be made; `test_extending` makes them
    roots = (ROOT, ROOT / "benchsuite", ROOT / "reference_engine")
    for path in re.findall(r"`((?:[\w.-]+/)+[\w.-]+\.(?:py|md|yaml))`", prose(BY_NAME[name])):
        if "*" not in path:
            assert any((root / path).exists() for root in roots), path
    for script in re.findall(r"(?:^|[`\s])(?:\./)?(scripts/\w+)(?=[`\s])", BY_NAME[name]):
        assert (ROOT / script).is_file(), script


# Commands


@pages
def test_code_in_text_ends_where_its_line_does(name: str) -> None:
    """Else neither readers of the source nor the tests below find it."""
    for line in prose(BY_NAME[name]).splitlines():
        assert line.count("`") % 2 == 0, line


def commands(page: str) -> Iterator[str]:
    """Shell lines of blocks and of running text, without the brackets of what is optional."""
    for block in blocks(page):
        if block.language == "sh":
            yield from block.text.replace("\\\n", " ").splitlines()
    for span in re.findall(r"`([^`\n]+)`", prose(page)):
        yield re.sub(r"[\[\]]", "", span)


def arguments(page: str, *program: str) -> Iterator[list[str]]:
    """What follows `program` in the commands of a page."""
    for line in commands(page):
        if line.startswith(program[0]):
            words = shlex.split(line, comments=True)
            if tuple(words[: len(program)]) == program:
                yield words[len(program) :]


@pages
def test_commands_are_understood(name: str) -> None:
    """Every `benchsuite ...` has a sub-command and options that exist."""
    group = typer.main.get_group(app)
    whole = typer.main.get_command(app)  # with the options of completion
    own = {"--help", *(option for one in whole.params for option in one.opts)}
    for words in filter(None, arguments(BY_NAME[name], "benchsuite")):
        if words[0] not in own:
            sub = group.commands[words[0]]
            # A command that is only named in the text needs no arguments.
            sub.make_context(words[0], words[1:], resilient_parsing=not words[1:]).close()


@pages
def test_engine_commands_are_understood(name: str) -> None:
    """Every `python -m reference_engine ...` has flags that exist."""
    parser = engine_command._parser()
    assert isinstance(parser, argparse.ArgumentParser)
    for words in arguments(BY_NAME[name], "python", "-m", "reference_engine"):
        parser.parse_args(words)


def test_requests_to_the_engine_are_understood() -> None:
    """Bodies of the engine page's curl calls are bodies that the server reads."""
    shell = "".join(block.text for block in blocks(BY_NAME["docs/engine.md"]))
    found = re.findall(r"/v1/(chat/completions|completions) .*?-d '(.*?)'", shell, re.DOTALL)
    assert len(found) == 2
    for path, body in found:
        kind = ChatRequest if path.startswith("chat") else CompletionRequest
        read_body(body.encode(), kind).check()
        fields = msgspec.json.decode(body, type=dict[str, object]).keys()
        assert fields <= {field.encode_name for field in msgspec.structs.fields(kind)}


def test_metrics_of_the_engine_are_its_own() -> None:
    """The engine page names every metric that /metrics has, and no other."""
    text = Stats().text(Gauges(0, 0, 0.0), "m")
    has = set(re.findall(r"# TYPE (\S+)", text))
    told = set(re.findall(r"`((?:vllm|reference_engine):\w+)`", BY_NAME["docs/engine.md"]))
    assert {name for name in told if ":event_loop" not in name} == has  # that is the server's


@pages
def test_python_is_python(name: str) -> None:
    """Blocks of Python compile."""
    for block in blocks(BY_NAME[name]):
        if block.language == "python":
            compile(block.text, name, "exec")


# Scenarios

BASE = """
name: example
endpoint: {type: openai_chat, url: "http://localhost:8000"}
workload:
  type: synthetic
  prompt_tokens: {type: fixed, value: 8}
  output_tokens: {type: fixed, value: 8}
arrivals: {type: poisson, rate: 8}
limits: {requests: 10}
"""


def whole(text: str) -> str | None:
    """A scenario with the keys of `text` and what they lack; None if `text` is no part of one."""
    yaml = YAML(typ="safe", pure=True)
    given = yaml.load(text)
    keys = {field.encode_name for field in msgspec.structs.fields(Scenario)}
    if not isinstance(given, dict) or not given.keys() <= keys:
        return None
    base = {key: value for key, value in yaml.load(BASE).items() if key not in given}
    return (
        text + "\n" + "".join(f"{k}: {msgspec.json.encode(v).decode()}\n" for k, v in base.items())
    )


@pages
def test_scenarios_are_scenarios(name: str, tmp_path: Path) -> None:
    """YAML that is a scenario, or a part of one, passes the check."""
    if name == "docs/extending.md":
        return  # its types exist only in `test_extending`
    for block in blocks(BY_NAME[name]):
        if block.language == "yaml" and block.text.startswith("vary:"):
            (tmp_path / "matrix.yaml").write_text(block.text, encoding="utf-8")
            assert matrix(tmp_path / "matrix.yaml").vary  # not a scenario: a sweep's file
        elif block.language == "yaml":
            text = whole(block.text)
            assert text is not None, block.text
            path = tmp_path / "scenario.yaml"
            path.write_text(text, encoding="utf-8")
            load(path)


def test_the_table_of_papers_names_what_there_is() -> None:
    """Policies and their keys are the engine's; a scenario is a file that loads."""
    told = catalogue("policies")["policies"]
    known = {name for one in told for name in (one["name"], *one["fields"])}
    rows = re.findall(r"^\| (.*?) \|$", BY_NAME["docs/papers.md"], re.M)[1:]
    assert len(rows) >= 20
    for row in rows:
        _, _, _, scenarios, policies = row.split(" | ")
        assert set(re.findall(r"`(.*?)`", policies)) <= known, row
        for path in re.findall(r"\((.*?\.yaml)\)", scenarios):
            load(ROOT / "docs" / path)


def test_the_scenario_page_is_written_from_the_types() -> None:
    """Run scripts/docs_scenarios.py after changing a key."""
    page = runpy.run_path(str(ROOT / "scripts" / "docs_scenarios.py"))["page"]()
    assert BY_NAME["docs/scenarios.md"] == page


def test_the_page_of_commands_is_written_from_the_commands() -> None:
    """Run scripts/docs_cli.py after changing a command."""
    page = runpy.run_path(str(ROOT / "scripts" / "docs_cli.py"))["page"]()
    assert BY_NAME["docs/cli.md"] == page


def test_every_page_is_in_the_navigation_of_the_site() -> None:
    """Once, and under a name that exists. The build itself (scripts/docs) is a job of its own."""
    site = YAML(typ="safe", pure=True).load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
    listed = re.findall(r"[\w/.-]+\.md", str(site["nav"]))
    assert sorted(listed) == sorted(str(path.relative_to(DOCS)) for path in DOCS.rglob("*.md"))


# Servers


def test_the_server_page_names_every_dialect() -> None:
    """And none that has no script."""
    table = BY_NAME["docs/servers.md"].split("\nNot in a stream")[0]
    rows = [line.split("|")[4] for line in table.splitlines() if line.startswith("| ")]
    named = {name for row in rows[1:] for name in re.findall(r"`(\w+)`", row)}
    assert named <= DIALECTS.keys()
    unnamed = DIALECTS.keys() - named
    assert unnamed <= {"vllm_completions"}  # no difference, only the other API


def test_the_server_page_names_every_error_class() -> None:
    """Those that the code gives, and no others."""
    table = BY_NAME["docs/servers.md"].split("## Error classes")[1]
    named = set(re.findall(r"^\| `([a-z0-9_<>]+)`", table, re.MULTILINE))
    source = "".join(
        path.read_text(encoding="utf-8")
        for folder in ("endpoints", "loadgen")
        for path in sorted((ROOT / "benchsuite" / folder).glob("*.py"))
    )
    given = set(re.findall(r'fail\(\s*"([a-z0-9_]+)"', source))
    given |= {fault.error_class for fault in FAULTS.values() if fault.error_class[:5] != "http_"}
    assert given <= named
    for name in named - {"http_<status>"}:
        assert f'"{name}"' in source, name


# Extending


def edited(source: str, block: str) -> str:
    """`source` with the block's imports, and `NAME = ...` with its old value in place of `...`."""
    imports, _, change = block.strip().partition("\n\n")
    name, _, value = change.partition(" = ")
    lines = source.splitlines()
    for node in ast.parse(source).body:
        target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
        if isinstance(target, ast.Name) and target.id == name:
            assert isinstance(node, ast.Assign | ast.AnnAssign)
            assert node.value is not None
            old = ast.get_source_segment(source, node.value)
            head, _, _ = lines[node.lineno - 1].partition(" = ")
            new = [imports, f"{head} = {value.replace('...', f'({old})', 1)}"]
            return "\n".join([*lines[: node.lineno - 1], *new, *lines[node.end_lineno :], ""])
    raise AssertionError(f"{name}: not found")


DRIVER = """
import sys
from pathlib import Path
from benchsuite import catalogue
from benchsuite.cli import app
from benchsuite.scenario import load

for path in sorted(Path("tried").glob("*.py")):
    names = {"__name__": path.stem}
    exec(compile(path.read_text(), path, "exec"), names)
    tests = [value for key, value in names.items() if key.startswith("test_")]
    assert tests
    for test in tests:
        test()
for path in sorted(Path("tried").glob("*.yaml")):
    load(path)
listed = str(catalogue.catalogue())
assert all(name in listed for name in "on_off first_gap plain_csv ollama shortest_first".split())
for path in ("all.yaml", "ollama.yaml"):
    app(["run", path, "--out", path.removesuffix(".yaml")], standalone_mode=False)
"""
ALL = """
name: all
endpoint:
  type: in_process
  engine: {model: 8b, executor: {type: roofline}, policy: {type: shortest_first}}
workload: {type: trace, source: {type: plain_csv, path: requests.csv}}
arrivals: {type: on_off, rate: 40, busy: 500ms, pause: 2s}
"""
OLLAMA = """
name: ollama
endpoint: {type: ollama, url: "URL", model: m}
workload:
  type: synthetic
  prompt_tokens: {type: fixed, value: 8}
  output_tokens: {type: fixed, value: 2}
arrivals: {type: closed_loop, concurrency: 1}
limits: {requests: 3}
"""
LINES = b'{"response":"Hel"}\n{"response":"lo"}\n{"response":"","done":true,"eval_count":2}\n'


def test_extending(tmp_path: Path) -> None:
    """In a copy of the packages each example works as it stands: its own test passes, its YAML is
    accepted, and runs with all of them give what they should."""
    for package in ("benchsuite", "reference_engine"):
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("*.pyc"))
    tried = tmp_path / "tried"
    tried.mkdir()
    for number, block in enumerate(blocks(BY_NAME["docs/extending.md"])):
        if block.language == "yaml":
            text = whole(block.text)
            assert text is not None, block.text
            (tried / f"{number}.yaml").write_text(text, encoding="utf-8")
            continue
        head, _, text = block.text.partition("\n")
        path = tmp_path / head.removeprefix("# ")
        if head.startswith("# tests/"):
            (tried / path.name).write_text(text, encoding="utf-8")
        elif path.exists():
            path.write_text(edited(path.read_text(encoding="utf-8"), text), encoding="utf-8")
        else:
            assert path.parent.is_dir(), head
            path.write_text(text, encoding="utf-8")
    (tmp_path / "requests.csv").write_text("".join(f"{i},{100 + i},4\n" for i in range(12)))
    (tmp_path / "all.yaml").write_text(ALL)
    generated = Script((Step(answer("200 OK", LINES)),))
    with served(generated) as server:
        (tmp_path / "ollama.yaml").write_text(OLLAMA.replace("URL", server.url))
        done = subprocess.run(
            [sys.executable, "-c", DRIVER],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": os.pathsep.join((str(tmp_path), str(ROOT)))},
            capture_output=True,
            text=True,
            timeout=120,
        )
    assert done.returncode == 0, done.stderr[-3000:]
    results = [
        msgspec.json.decode((tmp_path / name / "result.json").read_bytes())
        for name in ("all", "ollama")
    ]
    assert [one["requests"]["ok"] for one in results] == [12, 3]
    assert results[0]["summaries"]["first_gap"]["n"] == 12
    assert results[1]["summaries"]["output_tokens"]["mean"] == 2
