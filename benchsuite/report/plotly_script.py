"""plotly's script as its Python package brings it, packed once for all pages of this user."""

import base64
import gzip
import hashlib
import os
import zlib
from contextlib import suppress
from functools import cache
from importlib import resources
from pathlib import Path
from typing import NamedTuple


class Library(NamedTuple):
    """The script, and its gzip in base64 as the page carries it."""

    text: bytes
    packed: str


@cache
def library() -> Library:
    text = (resources.files("plotly") / "package_data" / "plotly.min.js").read_bytes()
    folder = _cache()
    packed = gzip.compress(text, 6, mtime=0) if folder is None else _packed(text, folder)
    return Library(text, base64.b64encode(packed).decode())


def _cache() -> Path | None:
    """A folder that may be lost; $XDG_CACHE_HOME as in the XDG base directory specification.
    None where this user has no home."""
    try:
        home = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    except RuntimeError:
        return None
    return Path(home) / "benchsuite"


def _packed(text: bytes, folder: Path) -> bytes:
    """Packing takes as long as the rest of a small page: a fifth of a second."""
    path = folder / f"plotly-{hashlib.sha256(text).hexdigest()[:16]}.js.gz"
    try:
        packed = path.read_bytes()
        if gzip.decompress(packed) == text:
            return packed
    except (OSError, EOFError, zlib.error):
        pass  # not there, or not whole: it is made now
    packed = gzip.compress(text, 6, mtime=0)
    draft = path.with_suffix(f".{os.getpid()}")
    with suppress(OSError):  # a full disk, a folder that is not ours: the next page packs it again
        folder.mkdir(parents=True, exist_ok=True)
        try:
            draft.write_bytes(packed)
            draft.replace(path)
        finally:
            draft.unlink(missing_ok=True)
    return packed
