"""Kernel stamps on the monotonic clock."""

import socket
import sys
import time
from collections.abc import Callable
from contextlib import closing
from unittest.mock import patch

import pytest

from benchsuite.endpoints import kernel_time
from benchsuite.endpoints.kernel_time import KernelClock, Stamping


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="SO_TIMESTAMPING is Linux's")
def test_a_stamp_is_the_arrival_and_not_the_read() -> None:
    """Bytes that waited 50 ms to be read are stamped when they came."""
    clock = KernelClock()
    with (
        closing(Stamping()) as stamping,
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(server.getsockname()) as sender,
    ):
        assert stamping.begin()
        receiver, _ = server.accept()
        with receiver:
            assert kernel_time.enable(receiver)
            before_s = time.monotonic()
            sender.sendall(b"x")
            after_s = time.monotonic()
            time.sleep(0.05)
            _, control, _, _ = receiver.recvmsg(10, kernel_time.CONTROL_BYTES)
            read_s = time.monotonic()
    (came_s,) = clock.monotonic_s([kernel_time.realtime_ns(control)], [read_s])
    assert before_s - 1e-3 < came_s < after_s + 0.02
    assert read_s - came_s > 0.02


def _kernel_that_stamps(after_ns: list[int]) -> Callable[[object], int]:
    """Stamps each datagram so long after it was sent, as far as anybody can tell."""
    late_ns = iter(after_ns)
    return lambda control: time.time_ns() - int(kernel_time.PROBE_S * 1e9) + next(late_ns)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="SO_TIMESTAMPING is Linux's")
def test_stamps_are_believed_once_one_is_of_an_arrival() -> None:
    """As long as the kernel stamps at the read, it is asked again."""
    late_ns = int(kernel_time.PROBE_S * 1e9)
    with (
        closing(Stamping()) as stamping,
        patch.object(kernel_time, "realtime_ns", _kernel_that_stamps([late_ns, late_ns, -late_ns])),
    ):
        assert stamping.begin()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="SO_TIMESTAMPING is Linux's")
@pytest.mark.parametrize("stamp", [0, 2**62], ids=["no stamp", "always late"])
def test_a_kernel_that_never_stamps_arrivals_is_not_believed(stamp: int) -> None:
    """A kernel without stamps, or with those of reads alone, leaves the program's own."""
    with (
        closing(Stamping()) as stamping,
        patch.object(kernel_time, "realtime_ns", lambda control: stamp),
        patch.object(kernel_time, "BEGIN_S", 0.01),
    ):
        assert not stamping.begin()


def _sampled(pairs: list[tuple[int, int]]) -> KernelClock:
    """A clock that took (realtime, monotonic) samples, in ns."""
    walls = iter([wall for wall, _ in pairs for _ in range(5)])
    ticks = iter([tick for _, tick in pairs for _ in range(10)])
    with (
        patch.object(kernel_time.time, "time_ns", lambda: next(walls)),
        patch.object(kernel_time.time, "monotonic_ns", lambda: next(ticks)),
    ):
        clock = KernelClock()
        for _ in pairs[1:]:
            clock.sample()
    return clock


def test_drift_between_samples_is_followed() -> None:
    """Half way between two samples that drifted apart, half of the drift is taken off."""
    clock = _sampled([(10_000_000_000, 1_000_000_000), (11_000_000_000, 2_000_100_000)])
    assert clock.num_steps == 0
    (at_s,) = clock.monotonic_s([10_500_000_000], [1.50005])
    assert at_s == pytest.approx(1.5 + 50e-6, abs=1e-9)


def test_a_step_of_the_wall_clock_is_seen_and_its_stamps_refused() -> None:
    """Around a jump of the wall clock the program's own stamp is used."""
    clock = _sampled(
        [(10_000_000_000, 1_000_000_000), (16_000_000_000, 2_000_000_000)]  # + 5 s in 1 s
    )
    assert clock.num_steps == 1
    assert clock.monotonic_s([12_000_000_000], [1.25]) == [1.25]


@pytest.mark.parametrize("step_s", [5, -5])
def test_stamps_long_before_and_after_a_step_are_right(step_s: int) -> None:
    """A step forth or back takes only what was read near it; an older stream keeps its times."""
    second = 1_000_000_000
    pairs = [(1000 * second + i * second, i * second) for i in range(1, 11)]
    pairs += [((1000 + step_s) * second + i * second, i * second) for i in range(11, 15)]
    clock = _sampled(pairs)
    user_s = [2.25, 10.25, 10.75, 11.5, 13.25]
    walls_s = [1002.0, 1010.0, 1010.5 + step_s, 1011.25 + step_s, 1013.0 + step_s]
    found = clock.monotonic_s([int(wall_s * second) for wall_s in walls_s], user_s)
    assert found == pytest.approx([2.0, 10.25, 10.75, 11.5, 13.0])


def test_a_step_since_the_last_sample_is_noticed() -> None:
    """An answer that ends before the next sample is not converted with the old offset."""
    clock = KernelClock()
    read_s = time.monotonic()
    real = time.time_ns
    with patch.object(kernel_time.time, "time_ns", lambda: real() + 10**10):
        stamp_ns = kernel_time.time.time_ns()
        clock.notice_step()
    assert clock.num_steps == 1
    assert clock.monotonic_s([stamp_ns], [read_s]) == [read_s]


def test_nothing_arrives_after_it_was_read() -> None:
    """A stamp that says so is not used."""
    read_s = time.monotonic()
    assert KernelClock().monotonic_s([time.time_ns() + 10**9], [read_s]) == [read_s]


def test_a_read_without_a_stamp_keeps_the_programs() -> None:
    """0 means that the kernel gave none."""
    assert KernelClock().monotonic_s([0], [3.5]) == [3.5]
