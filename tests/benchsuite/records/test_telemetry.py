"""What was read beside the requests, through the spool to the file."""

from pathlib import Path

import pytest

from benchsuite.records.telemetry import FILE_NAME, Sample, TelemetryWriter, keep, read

SAMPLES = (Sample(101.0, "server", "running", 3.0), Sample(101.0, "server", "waiting", 1.0))
LATER = (Sample(102.5, "server", "running", 4.0), Sample(102.0, "gpu0", "power_w", 300.0))


def spooled(folder: Path) -> Path:
    """A spool of two writers."""
    spool = folder / "spool"
    spool.mkdir()
    for name, samples in (("a", SAMPLES), ("b", LATER)):
        with TelemetryWriter(spool / f"{name}.telemetry") as writer:
            writer.put(samples)
            writer.put(())
    return spool


def test_readings_come_back_by_name_from_run_start(tmp_path: Path) -> None:
    assert keep(spooled(tmp_path), tmp_path / FILE_NAME, start_s=100.0) == 4
    found = read(tmp_path / FILE_NAME)
    assert {name: each.tolist() for name, each in found.items()} == {
        "server.running": [[1.0, 3.0], [2.5, 4.0]],
        "server.waiting": [[1.0, 1.0]],
        "gpu0.power_w": [[2.0, 300.0]],
    }


def test_where_nothing_was_read_there_is_no_file(tmp_path: Path) -> None:
    (tmp_path / "spool").mkdir()
    with TelemetryWriter(tmp_path / "spool" / "a.telemetry"):
        pass
    assert keep(tmp_path / "spool", tmp_path / FILE_NAME, start_s=0.0) == 0
    assert read(tmp_path / FILE_NAME) == {}


@pytest.mark.parametrize(("kept", "num"), [(0, 2), (7, 2), (-9, 2), (-8, 4)])
def test_a_killed_writer_leaves_what_it_had_written(tmp_path: Path, kept: int, num: int) -> None:
    """Cut anywhere: the whole batches before the cut are there."""
    spool = spooled(tmp_path)
    path = spool / "a.telemetry"
    path.write_bytes(path.read_bytes()[:kept])
    assert keep(spool, tmp_path / FILE_NAME, start_s=0.0) == num


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a disk that is always full is Linux's")
def test_a_full_disk_ends_the_readings_and_nothing_else() -> None:
    """What to do about it says the writer of the requests; this one must not talk over it."""
    with TelemetryWriter(Path("/dev/full")) as writer:
        writer.put(SAMPLES)
        writer.put(LATER)
