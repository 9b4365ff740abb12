"""What sending cost: pauses, CPU, and what the machine says."""

import gc
import time

import pytest

from benchsuite.endpoints.base import ClockError, Exchange
from benchsuite.endpoints.wire_loop import WireLoop
from benchsuite.loadgen.watch import Machine, Watch, machine


class _Connection:
    """Nothing but clocks."""

    async def send(self, request_id: int, body: bytes) -> Exchange:
        raise AssertionError

    def in_flight(self) -> int:
        return 0

    def abort(self, error_class: str, error: str) -> None:
        raise AssertionError

    def clock_error(self) -> ClockError:
        return ClockError(3e-7, 2)


def test_a_collection_is_a_pause() -> None:
    watch = Watch(1, object())
    gc.collect()
    client = watch.end(_Connection())
    assert client.gc.num >= 1
    assert 0 < client.gc.longest_s <= client.gc.total_s
    assert (client.worker, client.stalls) == (1, None)
    assert (client.clock_error_s, client.clock_steps) == (3e-7, 2)


def test_after_its_end_it_watches_no_longer() -> None:
    before = list(gc.callbacks)
    Watch(0, object()).end(_Connection())
    assert gc.callbacks == before


def test_cpu_time_is_counted() -> None:
    watch = Watch(0, object())
    until_s = time.process_time() + 0.02
    while time.process_time() < until_s:
        pass
    client = watch.end(_Connection())
    assert client.cpu_s >= 0.02
    assert client.wall_s > 0


def test_what_held_the_loop_up_is_a_stall_and_what_came_before_is_none() -> None:
    """The bodies made before a run hold the loop up, and nobody waits for anything yet."""
    loop = WireLoop()
    try:
        if loop.stalls() is None:
            pytest.skip("no epoll")
        loop.call_soon(time.sleep, 0.03)
        loop.call_soon(loop.call_soon, loop.stop)
        loop.run_forever()
        watch = Watch(0, loop)
        loop.call_soon(time.sleep, 0.02)
        loop.call_later(0.001, loop.stop)
        loop.run_forever()
        stalls = watch.end(_Connection()).stalls
    finally:
        loop.close()
    assert stalls is not None
    assert stalls.num >= 1
    assert stalls.longest_s >= 0.02
    assert stalls.total_s >= stalls.longest_s


STAT = """\
cpu  1000 50 300 7000 100 20 30 40 500 0
cpu0 500 25 150 3500 50 10 15 20 250 0
"""


def test_the_machine_s_time_is_read_from_its_first_line() -> None:
    """Idle and iowait are nobody's; guest time is in user time already; steal is told apart."""
    assert machine(STAT) == Machine(busy_s=14.0, stolen_s=0.4)


@pytest.mark.parametrize("stat", ["", "intr 5", "cpu  1 2 3", "\n"])
def test_where_there_is_no_such_file_nothing_is_said(stat: str) -> None:
    assert machine(stat) is None
