"""A YAML file with the place of every key, and checks against a type that use it.

Knows YAML 1.2 and msgspec types, and nothing of what a scenario means.
"""

import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import inspect
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from benchsuite.errors import ScenarioError
from benchsuite.spec import env_reference, seconds

Path_ = tuple[str | int, ...]
MAX_FILE_BYTES: Final = 4 * 1024 * 1024
_AT: Final = re.compile(r"(?s)(.*?)(?: - at `(.*?)`)?")
_STEP: Final = re.compile(r"\.([^.\[\]]+)|\[(\d+|\.\.\.)\]")


@dataclass
class SourceFile:
    """What a file says, and where: `places[path]` is the line and column (from 1) of a key."""

    path: Path
    value: dict[str, Any]
    places: dict[Path_, tuple[int, int]] = field(default_factory=dict)
    overridden: dict[Path_, str] = field(default_factory=dict)

    def override(self, text: str) -> None:
        """Apply `a.b=value`; the value is read as YAML."""
        key, equals, raw = text.partition("=")
        if not equals or not key.strip():
            raise ScenarioError(f"--set {text}: expected key.path=value")
        steps = key.strip().split(".")
        node: Any = self.value
        for step in steps[:-1]:
            if isinstance(node, list):
                node = node[_index(text, step, node)]
                continue
            inner = node.get(step)
            if not isinstance(inner, dict | list):
                inner = node[step] = {}
            node = inner
        try:
            value = _plain(YAML(typ="rt", pure=True).load(raw))
        except YAMLError as error:
            raise ScenarioError(f"--set {text}: not a YAML value") from error
        if isinstance(node, list):
            node[_index(text, steps[-1], node)] = value
        else:
            node[steps[-1]] = value
        self.overridden[tuple(steps)] = text

    def at(self, path: Path_) -> str:
        """`file:line:column: key.path`, of the nearest place that is known."""
        for end in range(len(path), -1, -1):
            if path[:end] in self.overridden:
                return f"--set {self.overridden[path[:end]]}: {dotted(path)}"
            if path[:end] in self.places:
                line, column = self.places[path[:end]]
                return f"{self.path}:{line}:{column}: {dotted(path)}"
        return f"{self.path}: {dotted(path)}"

    def explain(self, error: msgspec.ValidationError) -> str:
        """msgspec's words with the place in front."""
        match = _AT.fullmatch(str(error))
        assert match is not None
        steps: list[str | int] = []
        for name, number in _STEP.findall(match[2] or ""):
            steps.append(name or (int(number) if number.isdigit() else number))
        words = match[1].replace("Expected ", "expected ").replace("Invalid ", "invalid ")
        return f"{self.at(tuple(steps))}: {words}"


def _index(text: str, step: str, node: list[Any]) -> int:
    if not step.isdigit() or int(step) >= len(node):
        raise ScenarioError(f"--set {text}: {step!r} is not an index into {len(node)} items")
    return int(step)


def dotted(path: Path_) -> str:
    """`("a", 0, "b")` -> `a[0].b`."""
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else step
    return text or "(top)"


def read(path: Path) -> SourceFile:
    """Parse a YAML 1.2 file. Raises ScenarioError with line and column."""
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise ScenarioError(f"{path}: larger than {MAX_FILE_BYTES} bytes; is it a scenario?")
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ScenarioError(f"{path}: {(error.strerror or str(error)).lower()}") from error
    except UnicodeDecodeError as error:
        raise ScenarioError(f"{path}: not UTF-8 text (byte {error.start})") from error
    try:
        document = YAML(typ="rt", pure=True).load(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"{mark.line + 1}:{mark.column + 1}: " if mark else ""
        problem = str(error.problem or error.context).splitlines()[0]
        raise ScenarioError(f"{path}:{place}{problem}") from error
    except YAMLError as error:
        raise ScenarioError(f"{path}: {str(error).splitlines()[0]}") from error
    if not isinstance(document, CommentedMap):
        raise ScenarioError(f"{path}:1:1: expected keys and values, such as `name: my-run`")
    places: dict[Path_, tuple[int, int]] = {}
    _note_places(document, (), places)
    value = _plain(document)
    return SourceFile(path, value, places)


def _note_places(node: object, path: Path_, places: dict[Path_, tuple[int, int]]) -> None:
    if isinstance(node, CommentedMap):
        for key, value in node.items():
            if key in (node.lc.data or {}):
                line, column = node.lc.key(key)
                places[(*path, str(key))] = (line + 1, column + 1)
            _note_places(value, (*path, str(key)), places)
    elif isinstance(node, CommentedSeq):
        for index, value in enumerate(node):
            line, column = node.lc.item(index)
            places[(*path, index)] = (line + 1, column + 1)
            _note_places(value, (*path, index), places)


def _plain(node: Any) -> Any:
    """Without ruamel's own types, which remember comments and number formats."""
    if isinstance(node, dict):
        return {str(key): _plain(value) for key, value in node.items()}
    if isinstance(node, list):
        return [_plain(value) for value in node]
    for kind in (bool, int, float, str):
        if isinstance(node, kind):
            return kind(node)
    return node if node is None else str(node)


def write(value: dict[str, Any], path: Path) -> None:
    """Plain data as YAML."""
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    text = StringIO()
    yaml.dump(value, text)
    path.write_text(text.getvalue(), encoding="utf-8")


def check(source: SourceFile, kind: type) -> dict[str, Any]:
    """The file's value with durations as seconds and paths made absolute, for `msgspec.convert`.

    Raises ScenarioError with every unknown key, missing key and unknown choice that was found.
    """
    walk = _Walk(source)
    value = walk.visit(source.value, inspect.type_info(kind), ())
    if walk.problems:
        raise ScenarioError("\n".join(walk.problems))
    assert isinstance(value, dict)
    return value


class _Walk:
    """Goes down the value and its type together."""

    def __init__(self, source: SourceFile) -> None:
        self._source = source
        self.problems: list[str] = []

    def visit(self, value: Any, kind: inspect.Type, path: Path_) -> Any:
        if isinstance(kind, inspect.Metadata):
            return self._annotated(value, kind, path)
        if isinstance(kind, inspect.UnionType):
            return self._union(value, kind, path)
        if isinstance(kind, inspect.StructType) and isinstance(value, dict):
            return self._struct(value, kind, path)
        if isinstance(kind, inspect.DictType) and isinstance(value, dict):
            return {
                key: self.visit(inner, kind.value_type, (*path, key))
                for key, inner in value.items()
            }
        if isinstance(kind, inspect.CollectionType) and isinstance(value, list):
            return [
                self.visit(inner, kind.item_type, (*path, index))
                for index, inner in enumerate(value)
            ]
        return value

    def _annotated(self, value: Any, kind: inspect.Metadata, path: Path_) -> Any:
        extra = kind.extra or {}
        if not isinstance(value, str):
            return self.visit(value, kind.type, path)
        if extra.get("unit") == "s":
            number = seconds(value)
            if number is None:
                self._add(path, f"expected a duration such as 500ms, 2s or 0.5, got {value!r}")
                return 0.0
            return number
        if extra.get("path") and env_reference(value) is None:
            return self._absolute(value)
        return value

    def _absolute(self, value: str) -> str:
        """What exists beside the scenario; else the text as it is (a hub id, a bundled name)."""
        found = self._source.path.resolve().parent / value
        return str(found) if found.exists() else value

    def _union(self, value: Any, kind: inspect.UnionType, path: Path_) -> Any:
        if value is None:
            return value
        structs = [one for one in kind.types if isinstance(one, inspect.StructType)]
        if not isinstance(value, dict) or not structs:
            rest = [one for one in kind.types if not isinstance(one, inspect.NoneType)]
            return self.visit(value, rest[0], path) if len(rest) == 1 else value
        if len(structs) == 1 and structs[0].tag is None:
            return self._struct(value, structs[0], path)
        by_tag = {str(one.tag): one for one in structs}
        tag = value.get("type")
        if tag is None:
            self._add(path, f"needs `type`, one of: {_listed(by_tag)}")
        elif tag not in by_tag:
            self._add((*path, "type"), f"unknown {_meant(str(tag), by_tag)}")
        else:
            return self._struct(value, by_tag[tag], path)
        return value

    def _struct(self, value: dict[str, Any], kind: inspect.StructType, path: Path_) -> Any:
        known = {one.encode_name: one for one in kind.fields}
        names = list(known)
        if kind.tag_field is not None:
            names.append(kind.tag_field)
            if value.get(kind.tag_field, kind.tag) != kind.tag:
                self._add((*path, kind.tag_field), f"expected {kind.tag!r}")
        for key in value:
            if key not in names:
                self._add((*path, key), f"unknown field {_meant(key, names)}")
        for name, one in known.items():
            if one.required and name not in value:
                self._add(path, f"needs `{name}`")
        return {
            key: self.visit(inner, known[key].type, (*path, key)) if key in known else inner
            for key, inner in value.items()
        }

    def _add(self, path: Path_, problem: str) -> None:
        self.problems.append(f"{self._source.at(path)}: {problem}")


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))


def _meant(name: str, known: Iterable[str]) -> str:
    """`'x' (did you mean 'y'? known: ...)`."""
    known = list(known)
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    hint = f"did you mean {near[0]!r}? " if near else ""
    return f"{name!r} ({hint}known: {_listed(known)})"
