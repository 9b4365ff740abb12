"""Fields of an object under names that are given where it is read."""

from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

import msgspec

T = TypeVar("T")


class Columns:
    """One row of a file whose field names are the user's choice."""

    def __init__(self, raw: Mapping[str, Any]) -> None:
        self._raw = raw

    def get(self, name: str, kind: type[T]) -> T:
        """Raises ValueError that names the field, what was expected, and the fields there are."""
        if self._raw.get(name) is None:
            raise ValueError(f"{name}: expected, found fields {', '.join(self._raw)}")
        return self._converted(name, kind)

    def get_or(self, name: str | None, kind: type[T], default: T) -> T:
        """`default` where there is no such field, or nothing in it."""
        if name is None or self._raw.get(name) is None:
            return default
        return self._converted(name, kind)

    def rest(self, names: Iterable[str | None]) -> dict[str, Any] | None:
        """The fields that none of `names` is; None if there are none."""
        known = set(names)
        return {key: value for key, value in self._raw.items() if key not in known} or None

    def _converted(self, name: str, kind: type[T]) -> T:
        try:
            return msgspec.convert(self._raw[name], kind, strict=False)
        except msgspec.ValidationError as error:
            raise ValueError(f"{name}: {error}") from error
