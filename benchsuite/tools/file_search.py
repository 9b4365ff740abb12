"""Words looked up in a folder of texts: what a retrieval tool does, without an index."""

import re
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Final, NamedTuple

from benchsuite.errors import ScenarioError

MAX_FILE_BYTES: Final = 1024 * 1024
MAX_FOLDER_BYTES: Final = 64 * 1024 * 1024
_WORD: Final = re.compile(r"\w+")
_LINE_CHARS: Final = 300


class _Line(NamedTuple):
    place: str  # file:line, from the folder
    text: str
    words: frozenset[str]


def search(folder: str, query: str, most: int) -> str:
    """The `most` lines that hold most of the query's words, best first, as `file:line: text`.

    Of equals the first in the order of paths. Raises ScenarioError if there is no such folder.
    """
    wanted = {word.casefold() for word in _WORD.findall(query)}
    scored = [(len(wanted & line.words), line) for line in _lines(folder)]
    found = sorted((pair for pair in scored if pair[0]), key=lambda pair: -pair[0])[:most]
    return "\n".join(f"{line.place}: {line.text}" for _, line in found) or "nothing found"


@lru_cache(maxsize=4)
def _lines(folder: str) -> tuple[_Line, ...]:
    root = Path(folder)
    if not root.is_dir():
        raise ScenarioError(f"{folder}: no such folder")
    return tuple(line for path in _texts(root) for line in _of(root, path))


def _texts(root: Path) -> Iterator[Path]:
    """Its files in order, but for large ones; as many as fit the bound."""
    left = MAX_FOLDER_BYTES
    for path in sorted(root.rglob("*")):
        size = path.stat().st_size if path.is_file() and not path.is_symlink() else None
        if size is None or size > MAX_FILE_BYTES:
            continue
        left -= size
        if left < 0:
            raise ScenarioError(f"{root}: more than {MAX_FOLDER_BYTES:,} bytes of texts")
        yield path


def _of(root: Path, path: Path) -> Iterator[_Line]:
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return  # no text
    for number, line in enumerate(text.splitlines(), start=1):
        words = frozenset(word.casefold() for word in _WORD.findall(line))
        if words:
            place = f"{path.relative_to(root)}:{number}"
            yield _Line(place, line.strip()[:_LINE_CHARS], words)
