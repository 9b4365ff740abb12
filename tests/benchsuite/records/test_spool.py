"""The spool: what was put in comes out, up to where the file was torn."""

from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from benchsuite.exchange import Exchange
from benchsuite.records.spool import Asked, SpoolWriter, read_facts, read_spool


def asked(i: int) -> Asked:
    return Asked(
        request_id=i,
        session_id=i,
        turn=0,
        worker=0,
        slo_class="default",
        priority=-i if i % 2 else None,
        tenant="acme" if i % 2 else None,
        model="adapter" if i % 2 else None,
        due_s=None if i % 2 else 1.5,
        prompt_tokens_asked=3,
        prompt_tokens=3,
        output_tokens_asked=4,
        must_reach_asked=True,
        expected=None,
        grader=None,
        num_items=i + 1,
    )


def exchange(i: int, reads: list[bytes]) -> Exchange:
    return Exchange(
        request_id=i,
        stamp_source="kernel",
        framing="http",
        sent_s=1.0,
        finished_s=2.0,
        reads=reads,
        read_s=[1.0 + j / 8 for j in range(len(reads))],
        lag_s=[1e-5] * len(reads),
        num_items=i + 1,
    )


def plain(rows: Iterable[tuple[Asked, Exchange]]) -> list[tuple[Asked, Exchange]]:
    """The rows with lists in place of columns, which compare."""
    return [
        (
            asked,
            replace(sent, reads=list(sent.reads), read_s=list(sent.read_s), lag_s=list(sent.lag_s)),
        )
        for asked, sent in rows
    ]


def write(path: Path, rows: list[tuple[Asked, Exchange]]) -> SpoolWriter:
    writer = SpoolWriter(path, {"start_s": 12.5}, on_failure=lambda: None)
    for row in rows:
        writer.put(*row)
    writer.close()
    return writer


@given(st.lists(st.lists(st.binary(max_size=40), max_size=5), min_size=1, max_size=5))
def test_rows_come_back_as_they_were(
    tmp_path_factory: pytest.TempPathFactory, reads: list[list[bytes]]
) -> None:
    """Every stamp and every byte, read by read."""
    path = tmp_path_factory.mktemp("spool") / "0.arrows"
    rows = [(asked(i), exchange(i, some)) for i, some in enumerate(reads)]
    write(path, rows)
    assert plain(read_spool(path)) == rows
    assert read_facts(path) == {"start_s": 12.5}


def test_a_torn_file_gives_what_is_whole(tmp_path: Path) -> None:
    """Cut anywhere after its head, a spool gives whole batches and no error."""
    path = tmp_path / "0.arrows"
    rows = [(asked(i), exchange(i, [bytes([i]) * 50])) for i in range(200)]
    write(path, rows)
    whole = path.read_bytes()
    seen = set()
    for cut in range(len(whole), 3_000, -997):
        path.write_bytes(whole[:cut])
        found = plain(read_spool(path))
        assert found == rows[: len(found)]
        seen.add(len(found))
    assert max(seen) == 200
    assert len(seen) > 2


def test_a_disk_that_refuses_is_said(tmp_path: Path) -> None:
    """The writer keeps the error and calls; what was put after it is not claimed as written."""
    called = []
    writer = SpoolWriter(tmp_path / "0.arrows", {}, on_failure=lambda: called.append(1))
    full = OSError(28, "No space left on device")

    class FullDisk:
        def write_batch(self, batch: object) -> None:
            raise full

        def close(self) -> None:
            raise full

    writer._stream = FullDisk()
    writer.put(asked(0), exchange(0, [b"x"]))
    writer.close()
    assert writer.failure is full
    assert called == [1]
    assert writer.num_written == 0
