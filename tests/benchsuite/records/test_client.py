"""A worker's account of itself, beside its records."""

from pathlib import Path

from benchsuite.records.client import Client, Pauses, read, write


def _client(worker: int) -> Client:
    return Client(
        worker=worker,
        wall_s=2.0,
        cpu_s=1.5,
        stalls=None,
        stall_s=0.005,
        gc=Pauses(num=3, longest_s=0.02, total_s=0.03),
        clock_error_s=1e-7,
    )


def test_what_the_workers_wrote_is_read_in_their_order(tmp_path: Path) -> None:
    for worker in (10, 2, 0):
        write(_client(worker), tmp_path)
    (tmp_path / "0.arrows").touch()
    assert read(tmp_path) == (_client(0), _client(2), _client(10))


def test_workers_that_were_killed_left_nothing(tmp_path: Path) -> None:
    assert read(tmp_path) == ()
    assert read(tmp_path / "never") == ()


def test_an_account_that_cannot_be_written_does_not_end_the_run(tmp_path: Path) -> None:
    """The records are safe by then."""
    write(_client(0), tmp_path / "gone")
