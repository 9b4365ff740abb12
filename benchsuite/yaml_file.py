"""A YAML 1.2 file as plain data, with the place of every key. Knows nothing of what it means.

Scalars are read by the core schema of YAML 1.2.2 (10.3.2) alone: `no`, `on` and dates are text.
"""

import math
import re
from io import StringIO
from pathlib import Path
from typing import Any, Final, NamedTuple

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, StringMark
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from ruamel.yaml.reader import ReaderError

from benchsuite.errors import ScenarioError

KeyPath = tuple[str | int, ...]

MAX_FILE_BYTES: Final = 1024 * 1024
MAX_VALUES: Final = 100_000  # aliases repeat what they name; a few lines could fill the memory
_MAX_INT: Final = 2**63 - 1  # what JSON, Parquet and numpy hold

_TAG: Final = "tag:yaml.org,2002:"
_KNOWN: Final = "bool|int|float|map|merge|null|seq|str|timestamp|value"
_NULL: Final = frozenset({"", "~", "null", "Null", "NULL"})
_BOOL: Final = re.compile("(true|True|TRUE)|false|False|FALSE")
_INT: Final = re.compile(r"[-+]?[0-9]{1,100}|0o[0-7]{1,100}|0x[0-9a-fA-F]{1,100}")
_FLOAT: Final = re.compile(
    r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?"
    r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)"
)
_SET_KEY: Final = re.compile(r"[^.\[\]=]+(?:\.[^.\[\]=]+|\[\d+\])*")


class Place(NamedTuple):
    """Where something stands; in the order of the file."""

    line: int  # 0: not in the file
    column: int
    text: str


class SourceFile:
    """What a file says and where, with `--set` applied on top."""

    def __init__(self, path: Path, value: dict[str, Any], places: dict[KeyPath, Place]) -> None:
        self.path = path
        self.value = value
        self._places = {(): Place(1, 1, f"{path}:1:1")} | places

    def override(self, text: str) -> None:
        """Apply `a.b=value` or `a[0].b=value`; the value is read as YAML. Makes what is missing."""
        key, equals, raw = text.partition("=")
        if not equals or not _SET_KEY.fullmatch(key):
            raise ScenarioError(f"--set {text}: expected key.path=value, such as arrivals.rate=4")
        name = f"--set {text}"
        value = _Reader(name).read(raw)
        node: Any = self.value
        path: KeyPath = ()
        steps = re.findall(r"[^.\[\]]+", key)
        for step in steps[:-1]:
            where = _key(node, step, name)
            path = (*path, where)
            inner = node.get(where) if isinstance(node, dict) else node[where]
            if not isinstance(inner, dict | list):
                inner = node[where] = {}
            node = inner
        where = _key(node, steps[-1], name)
        path = (*path, where)
        node[where] = value
        kept = {one: at for one, at in self._places.items() if one[: len(path)] != path}
        self._places = {**kept, path: Place(0, 0, name)}

    def place(self, path: KeyPath) -> Place:
        """Of `path`, or of the nearest thing around it that is known."""
        return next(
            self._places[path[:end]]
            for end in range(len(path), -1, -1)
            if path[:end] in self._places
        )


def _key(node: Any, step: str, name: str) -> str | int:
    if not isinstance(node, list):
        return step
    if not step.isdecimal() or int(step) >= len(node):
        raise ScenarioError(f"{name}: {step!r} is not an index into {len(node)} items (0 is first)")
    return int(step)


def dotted(path: KeyPath) -> str:
    """`("a", 0, "b")` -> `a[0].b`."""
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else step
    return text


def read(path: Path) -> SourceFile:
    """Parse a YAML 1.2 file. Raises ScenarioError with line and column."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise ScenarioError(f"{path}: {(error.strerror or str(error)).lower()}") from error
    if len(data) > MAX_FILE_BYTES:
        raise ScenarioError(f"{path}: larger than {MAX_FILE_BYTES:,} bytes; is it a scenario?")
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ScenarioError(f"{path}:{line}: not UTF-8 text; save the file as UTF-8") from error
    reader = _Reader(str(path))
    value = reader.read(text)
    if not isinstance(value, dict):
        found = "nothing" if value is None else shown(value)
        raise ScenarioError(
            f"{path}:1:1: expected keys and values, such as `name: my-run`, got {found}"
        )
    return SourceFile(path, value, reader.places)


class _Mark(NamedTuple):
    """As ruamel's: from 0."""

    line: int
    column: int


class _Reader:
    """YAML text to plain data, noting the place of every key and item."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._num_values = 0
        self.places: dict[KeyPath, Place] = {}

    def read(self, text: str) -> Any:
        try:
            node = self._compose(text)
            return None if node is None else self._plain(node, ())
        except RecursionError:
            raise ScenarioError(f"{self._name}: nested too deeply, or inside itself") from None

    def _compose(self, text: str) -> Node | None:
        yaml = YAML(typ="safe", pure=True)
        yaml.composer.warn_double_anchors = False  # YAML 1.2 lets a later anchor take a name over
        try:
            node: Node | None = yaml.compose(text)
        except MarkedYAMLError as error:
            raise self._error(error.problem_mark or error.context_mark, _syntax(error)) from None
        except ReaderError as error:
            before = text[: error.position]
            mark = _Mark(before.count("\n"), len(before) - before.rfind("\n") - 1)
            problem = f"the character U+{error.character:04X} may not stand in YAML"
            raise self._error(mark, problem) from None
        return node

    def _plain(self, node: Node, path: KeyPath) -> Any:
        self._num_values += 1
        if self._num_values > MAX_VALUES:
            raise self._error(node.start_mark, f"more than {MAX_VALUES:,} values, aliases included")
        if not re.fullmatch(f"{_TAG}({_KNOWN})", str(node.tag)):
            raise self._error(node.start_mark, f"the tag {node.tag} is not known here")
        if isinstance(node, MappingNode):
            return self._mapping(node, path)
        if isinstance(node, SequenceNode):
            for index, inner in enumerate(node.value):
                self._note((*path, index), inner)
            return [self._plain(inner, (*path, index)) for index, inner in enumerate(node.value)]
        assert isinstance(node, ScalarNode)
        return self._scalar(node)

    def _mapping(self, node: MappingNode, path: KeyPath) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, inner in node.value:
            if not isinstance(key, ScalarNode):
                raise self._error(key.start_mark, "expected text as a key, got a list or more keys")
            if str(key.tag) == _TAG + "merge":
                raise self._error(key.start_mark, "`<<` is not in YAML 1.2; write the keys out")
            name = self._text(key)
            inside = (*path, name)
            if name in found:
                line = self.places[inside].line
                problem = f"{dotted(inside)}: the key is there already, in line {line}"
                raise self._error(key.start_mark, problem)
            self._note(inside, key)
            found[name] = self._plain(inner, inside)
        return found

    def _scalar(self, node: ScalarNode) -> bool | int | float | str | None:
        text = self._text(node)
        if str(node.tag) == _TAG + "str":
            return text
        if text in _NULL:
            return None
        if match := _BOOL.fullmatch(text):
            return match[1] is not None
        if _INT.fullmatch(text):
            whole = int(text, 0 if text.startswith("0") and not text.isdecimal() else 10)
            if abs(whole) > _MAX_INT:
                raise self._error(node.start_mark, f"the number {text} does not fit 64 bits")
            return whole
        if _FLOAT.fullmatch(text):
            number = float(re.sub(r"\.(?=[iInN])", "", text))
            if not math.isfinite(number):
                raise self._error(node.start_mark, f"expected a finite number, got {text}")
            return number
        return text

    def _text(self, node: ScalarNode) -> str:
        """Escapes may write a character in two halves, as JSON does; no file can hold one alone."""
        try:
            return str(node.value).encode("utf-16-le", "surrogatepass").decode("utf-16-le")
        except UnicodeDecodeError:
            problem = "half a character stands alone; write it whole, or both halves as \\uXXXX"
            raise self._error(node.start_mark, problem) from None

    def _note(self, path: KeyPath, node: Node) -> None:
        line, column = node.start_mark.line + 1, node.start_mark.column + 1
        self.places[path] = Place(line, column, f"{self._name}:{line}:{column}")

    def _error(self, mark: StringMark | _Mark | None, problem: str) -> ScenarioError:
        if mark is None or self._name.startswith("--set"):
            return ScenarioError(f"{self._name}: {problem}")
        return ScenarioError(f"{self._name}:{mark.line + 1}:{mark.column + 1}: {problem}")


def _syntax(error: MarkedYAMLError) -> str:
    """The parser's words, and where the thing that it could not finish begins."""
    problem = str(error.problem)
    if "'\\t'" in problem:
        problem += "; indent with spaces"
    if error.context is None:
        return problem
    mark = error.context_mark
    where = f", from {mark.line + 1}:{mark.column + 1}" if mark else ""
    return f"{problem} ({error.context}{where})"


def write(value: dict[str, Any], path: Path) -> None:
    """Plain data as YAML."""
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    yaml.allow_unicode = False  # ruamel takes U+0085 for the end of a line when it reads it back
    yaml.width = 10**9  # and loses spaces where it breaks a quoted text
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    text = StringIO()
    yaml.dump(value, text)
    path.write_text(text.getvalue(), encoding="utf-8")


def shown(value: object) -> str:
    """A found value, for a message."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return repr(value if len(value) <= 60 else value[:60] + "...")
    if isinstance(value, list):
        return "a list" if len(value) != 1 else "a list of one"
    return "keys and values" if isinstance(value, dict) else str(value)
