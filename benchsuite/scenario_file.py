"""A YAML file against the type it stands for: all problems at once, each in its place.

Knows msgspec types and the notes of `spec` on them, and nothing of what a scenario means.
"""

import difflib
import re
from collections.abc import Iterable
from types import NoneType, UnionType
from typing import Annotated, Any, Final, Literal, TypeVar, Union, get_args, get_origin

import msgspec
from msgspec import Meta, Struct

from benchsuite.errors import ScenarioError
from benchsuite.spec import has_broken_reference, seconds
from benchsuite.yaml_file import KeyPath, Place, SourceFile, dotted, shown

T = TypeVar("T")

_EXPECTED: Final = re.compile(r"Expected `([^`]*)`(.*?)(?:, got `[^`]*`)?")
_WORDS: Final = {
    "int": "a whole number",
    "float": "a number",
    "str": "text",
    "bool": "true or false",
    "object": "keys and values",
    "array": "a list",
}


def convert(source: SourceFile, kind: type[T]) -> T:
    """The file as a `kind`: durations in seconds, paths absolute.

    Raises ScenarioError with every problem that was found, one a line, in the order of the file.
    """
    walk = _Walk(source)
    value = walk.visit(source.value, kind, ())
    if walk.problems:
        raise ScenarioError("\n".join(text for _, text in sorted(walk.problems)))
    return msgspec.convert(value, kind)


class _Walk:
    """Goes down a value and its type together, so that one problem does not hide the next."""

    def __init__(self, source: SourceFile) -> None:
        self._source = source
        self.problems: list[tuple[Place, str]] = []

    def visit(self, value: Any, kind: Any, path: KeyPath) -> Any:
        """`value` as msgspec converts it to `kind`; where it cannot, the problem is noted."""
        num_problems = len(self.problems)
        value = self._inside(value, kind, path)
        if len(self.problems) == num_problems:
            try:
                msgspec.convert(value, kind)
            except msgspec.ValidationError as error:
                self._add(path, _in_words(str(error), value))
        return value

    def _inside(self, value: Any, kind: Any, path: KeyPath) -> Any:
        origin, arguments = get_origin(kind), get_args(kind)
        if origin is Annotated:
            return self._annotated(value, arguments[0], arguments[1:], path)
        if origin in (Union, UnionType):
            return self._union(value, arguments, path)
        if origin is Literal and value not in arguments:
            self._add(path, f"unknown value {shown(value)} {_meant(value, arguments)}")
        elif kind is str and isinstance(value, str) and "${env:" in value:
            self._add(path, f"variables are not looked up here, got {value!r}")
        elif kind is int and isinstance(value, float) and value.is_integer():
            return int(value)  # 1e3
        elif isinstance(value, dict) and isinstance(kind, type) and issubclass(kind, Struct):
            return self._struct(value, kind, path)
        elif isinstance(value, dict) and origin is dict:
            return {key: self.visit(value[key], arguments[1], (*path, key)) for key in value}
        elif isinstance(value, list) and origin in (list, tuple):
            return [self.visit(one, arguments[0], (*path, at)) for at, one in enumerate(value)]
        return value

    def _annotated(self, value: Any, kind: Any, notes: tuple[object, ...], path: KeyPath) -> Any:
        extra = next((one.extra for one in notes if isinstance(one, Meta) and one.extra), {})
        if isinstance(value, str) and extra.get("unit") == "s":
            number = seconds(value)
            if number is None:
                self._add(path, f"expected a duration such as 500ms, 2s or 0.5, got {value!r}")
            return number
        if isinstance(value, str) and "env" in extra:
            if has_broken_reference(value):
                self._add(path, f"expected a reference like ${{env:NAME}}, got {value!r}")
            return value
        if isinstance(value, str) and value and "path" in extra:
            return self._absolute(value, is_name_too=extra["path"] == "or name")
        return self._inside(value, kind, path)

    def _absolute(self, value: str, *, is_name_too: bool) -> str:
        """A path from the scenario's folder; a name that may be one only where that exists."""
        found = self._source.path.resolve().parent / value
        if is_name_too and not (("/" in value or "." in value) and found.exists()):
            return value
        return str(found)

    def _union(self, value: Any, kinds: tuple[Any, ...], path: KeyPath) -> Any:
        if value is None and NoneType in kinds:
            return None
        kinds = tuple(one for one in kinds if one is not NoneType)
        structs = [one for one in kinds if isinstance(one, type) and issubclass(one, Struct)]
        if structs == list(kinds) and all(one.__struct_config__.tag for one in structs):
            by_type = {str(one.__struct_config__.tag): one for one in structs}
            return self._choice(value, by_type, path)
        if isinstance(value, dict) and len(structs) == 1:
            return self._struct(value, structs[0], path)
        plain = [one for one in kinds if one not in structs]
        return self._inside(value, plain[0], path) if len(plain) == 1 else value

    def _choice(self, value: Any, by_type: dict[str, type[Struct]], path: KeyPath) -> Any:
        if not isinstance(value, dict):
            expected = f"expected `{{type: ...}}` with a type of: {_listed(by_type)}"
            self._add(path, f"{expected}; got {shown(value)}")
        elif value.get("type") is None:
            self._add(path, f"needs `type`, one of: {_listed(by_type)}")
        elif (found := value["type"]) not in list(by_type):
            self._add((*path, "type"), f"unknown type {shown(found)} {_meant(found, by_type)}")
        else:
            return self._struct(value, by_type[found], path)
        return value

    def _struct(self, value: dict[str, Any], kind: type[Struct], path: KeyPath) -> Any:
        known = {one.encode_name: one for one in msgspec.structs.fields(kind)}
        tag_field = kind.__struct_config__.tag_field
        names = [*known, tag_field] if tag_field else [*known]
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

    def _add(self, path: KeyPath, problem: str) -> None:
        place = self._source.place(path)
        where = f"{place.text}: {dotted(path)}: " if path else f"{place.text}: "
        self.problems.append((place, where + problem))


def _in_words(error: str, value: object) -> str:
    """msgspec's words for a reader who knows YAML; a Spec's own words as they are."""
    match = _EXPECTED.fullmatch(error)
    if match is None:
        return error
    kinds = [kind for kind in match[1].split(" | ") if kind != "null"]
    expected = " or ".join(_WORDS.get(kind, kind) for kind in kinds) + re.sub(
        r"\.0\b", "", match[2]
    )
    found = f"the text {shown(value)}" if isinstance(value, str) else shown(value)
    hint = "; put it in quotes" if kinds == ["str"] and isinstance(value, int | float) else ""
    return f"expected {expected}, got {found}{hint}"


def _listed(names: Iterable[object]) -> str:
    return ", ".join(sorted(map(str, names)))


def _meant(found: object, known: Iterable[object]) -> str:
    """`(did you mean 'y'? known: ...)`."""
    names = [str(one) for one in known]
    near = difflib.get_close_matches(found, names, n=1) if isinstance(found, str) else []
    hint = f"did you mean {near[0]!r}? " if near else ""
    return f"({hint}known: {_listed(names)})"
