"""plotly's script is packed once, and what lies in the cache is not believed unseen."""

import gzip
from pathlib import Path

import pytest

from benchsuite.report import plotly_script

TEXT = b"draw();" * 100


def test_it_is_packed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = plotly_script._packed(TEXT, tmp_path / "new")
    assert gzip.decompress(first) == TEXT
    monkeypatch.setattr(gzip, "compress", lambda *_, **__: pytest.fail("packed again"))
    assert plotly_script._packed(TEXT, tmp_path / "new") == first


@pytest.mark.parametrize("found", [b"", b"junk", gzip.compress(b"steal();"), "cut"])
def test_a_spoilt_cache_is_made_anew(tmp_path: Path, found: bytes | str) -> None:
    packed = plotly_script._packed(TEXT, tmp_path)
    (path,) = tmp_path.iterdir()
    path.write_bytes(packed[:-9] if isinstance(found, str) else found)
    assert plotly_script._packed(TEXT, tmp_path) == packed == path.read_bytes()


def test_a_cache_that_cannot_be_written_costs_time_alone(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    assert gzip.decompress(plotly_script._packed(TEXT, tmp_path / "file")) == TEXT


def test_a_user_without_a_home_has_no_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a container whose user has no entry in passwd."""

    def nobody() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", nobody)
    assert plotly_script._cache() is None


def test_a_cache_that_may_not_be_looked_at_costs_time_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    for name in ("read_bytes", "write_bytes", "mkdir", "unlink", "exists"):
        monkeypatch.setattr(Path, name, refused)
    assert gzip.decompress(plotly_script._packed(TEXT, tmp_path)) == TEXT
