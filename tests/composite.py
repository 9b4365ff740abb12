"""Runs the steps of a composite action as GitHub's runner does, as far as ours needs it.

Steps that use other actions are noted with their inputs, and give the outputs they are told to.
"""

import os
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from ruamel.yaml import YAML

_EXPRESSION: Final = re.compile(r"\$\{\{\s*(.*?)\s*\}\}")


class Ended(NamedTuple):
    failed: bool
    log: str
    outputs: dict[str, str]  # of the action
    summary: str
    used: dict[str, dict[str, str]]  # action -> what it was given


def read(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = YAML(typ="safe").load(path)
    return found


def execute(
    path: Path,
    inputs: Mapping[str, str],
    folder: Path,
    *,
    stubs: Mapping[str, Mapping[str, str]],
    environment: Mapping[str, str],
) -> Ended:
    """`stubs`: outputs of steps, by id, that are not run. `folder`: the workspace."""
    action = read(path)
    given = {name: one.get("default", "") for name, one in action["inputs"].items()} | dict(inputs)
    steps: dict[str, dict[str, str]] = {}
    used: dict[str, dict[str, str]] = {}
    summary = folder / "summary.md"
    summary.touch()
    failed, log = False, ""

    def value(text: str) -> str:
        return _EXPRESSION.sub(lambda match: _term(match[1], given, steps), text)

    for number, step in enumerate(action["runs"]["steps"]):
        name = step.get("id", str(number))
        if not _is_due(step.get("if", "success()"), failed, given, steps):
            continue
        if name in stubs:
            steps[name] = dict(stubs[name])
            continue
        if "uses" in step:
            used[step["uses"].partition("@")[0]] = {
                key: value(text) for key, text in step.get("with", {}).items()
            }
            continue
        outputs = folder / f"output-{name}"
        outputs.touch()
        ended = subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]],
            cwd=folder / value(step.get("working-directory", ".")),
            env={
                **os.environ,
                **environment,
                **{key: value(text) for key, text in step.get("env", {}).items()},
                "GITHUB_ACTIONS": "true",
                "GITHUB_ACTION_PATH": str(path.parent),
                "GITHUB_OUTPUT": str(outputs),
                "GITHUB_STEP_SUMMARY": str(summary),
                "RUNNER_TEMP": str(folder),
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=300,
        )
        log += ended.stdout
        failed = failed or ended.returncode != 0
        steps[name] = outputs_of(outputs.read_text())
    told = {name: value(one["value"]) for name, one in action["outputs"].items()}
    return Ended(failed, log, told, summary.read_text(), used)


def outputs_of(text: str) -> dict[str, str]:
    """`name=value` lines and `name<<end` blocks; the last of a name counts."""
    found: dict[str, str] = {}
    lines = iter(text.splitlines())
    for line in lines:
        block = re.fullmatch(r"([\w-]+)<<(.+)", line)
        if block is None:
            name, _, found_value = line.partition("=")
            found[name] = found_value
            continue
        held = []
        for inner in lines:
            if inner == block[2]:
                break
            held.append(inner)
        found[block[1]] = "\n".join(held)
    return found


def _term(text: str, inputs: Mapping[str, str], steps: Mapping[str, Mapping[str, str]]) -> str:
    """The expressions that ours has, and no other."""
    if match := re.fullmatch(r"inputs\.([\w-]+)", text):
        return inputs[match[1]]
    if match := re.fullmatch(r"steps\.([\w-]+)\.outputs\.([\w-]+)", text):
        return steps.get(match[1], {}).get(match[2], "")
    if match := re.fullmatch(r"(\S+) (==|!=) '(.*)'", text):
        is_equal = _term(match[1], inputs, steps) == match[3]
        return str(is_equal == (match[2] == "==")).lower()
    raise AssertionError(f"the runner of the tests does not know {text!r}")


def _is_due(
    condition: str, failed: bool, inputs: Mapping[str, str], steps: Mapping[str, Mapping[str, str]]
) -> bool:
    parts = condition.split(" && ")
    if failed and "always()" not in parts:
        return False
    others = [part for part in parts if part not in ("always()", "success()")]
    return all(_term(part, inputs, steps) == "true" for part in others)
