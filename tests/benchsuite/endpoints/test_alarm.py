"""The alarm by itself: it rings once, at its moment or at most EARLY_S before, and not when it was
moved. Lateness is not looked at: a busy machine decides that.
"""

import select
import sys
import time
from collections.abc import Iterator

import pytest

from benchsuite.endpoints.alarm import EARLY_S, Alarm

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="timerfd is Linux's")
LONG_S = 60.0  # rings in no test


@pytest.fixture
def alarm() -> Iterator[Alarm]:
    made = Alarm()
    yield made
    made.close()


@pytest.fixture
def bell(alarm: Alarm) -> Iterator[select.epoll]:
    """What the loop does: watch the alarm edge-triggered."""
    with select.epoll() as epoll:
        epoll.register(alarm.fd, select.EPOLLIN | select.EPOLLET)
        yield epoll


def set_in(alarm: Alarm, wait_s: float) -> float:
    now_s = time.monotonic()
    alarm.set(now_s, now_s + wait_s)
    return now_s + wait_s


def test_it_rings_at_its_moment(alarm: Alarm, bell: select.epoll) -> None:
    at_s = set_in(alarm, 0.01)
    assert bell.poll(LONG_S) == [(alarm.fd, select.EPOLLIN)]
    assert time.monotonic() >= at_s


def test_it_rings_once_without_being_read(alarm: Alarm, bell: select.epoll) -> None:
    set_in(alarm, 0.001)
    assert bell.poll(LONG_S)
    assert not bell.poll(0.01)


def test_it_can_be_set_again_after_it_rang(alarm: Alarm, bell: select.epoll) -> None:
    for _ in range(3):
        at_s = set_in(alarm, 0.002)
        assert bell.poll(LONG_S)
        assert time.monotonic() >= at_s


def test_a_moment_that_has_passed_rings_at_once(alarm: Alarm, bell: select.epoll) -> None:
    now_s = time.monotonic()
    for at_s in (now_s - 1.0, 0.0):  # a timerfd set to 0 would never ring
        alarm.set(now_s, at_s)
        assert bell.poll(LONG_S)


def test_an_earlier_moment_takes_its_place(alarm: Alarm, bell: select.epoll) -> None:
    set_in(alarm, LONG_S)
    set_in(alarm, 0.001)
    assert bell.poll(LONG_S / 2)


def test_a_later_moment_takes_its_place(alarm: Alarm, bell: select.epoll) -> None:
    now_s = time.monotonic()
    alarm.set(now_s, now_s + 0.5)
    alarm.set(now_s, now_s + LONG_S)
    assert alarm_due_s(alarm) > 1.0


def alarm_due_s(alarm: Alarm) -> float:
    """How far off the kernel says the alarm is."""
    with open(f"/proc/self/fdinfo/{alarm.fd}") as facts:
        value = next(line for line in facts if line.startswith("it_value"))
    seconds, nanoseconds = value.split("(")[1].rstrip(")\n").split(",")
    return float(seconds) + float(nanoseconds) / 1e9


@pytest.mark.parametrize(("later_s", "moves"), [(EARLY_S / 2, False), (2e-3, True)])
def test_a_moment_just_after_the_one_that_is_set_asks_nothing_of_the_kernel(
    alarm: Alarm, later_s: float, moves: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[object] = []
    settime = alarm._settime

    def counted(*arguments: object) -> int:
        asked.append(arguments)
        return int(settime(*arguments))

    monkeypatch.setattr(alarm, "_settime", counted)
    now_s = time.monotonic()
    alarm.set(now_s, now_s + LONG_S)
    alarm.set(now_s, now_s + LONG_S + later_s)
    assert len(asked) == 1 + moves


def test_an_alarm_that_rang_is_set_anew_though_the_moment_is_near(
    alarm: Alarm, bell: select.epoll
) -> None:
    at_s = set_in(alarm, 0.001)
    assert bell.poll(LONG_S)
    alarm.set(time.monotonic(), at_s + EARLY_S / 2)
    assert bell.poll(LONG_S)


def test_it_never_rings_earlier_than_it_may(alarm: Alarm, bell: select.epoll) -> None:
    """A moment left as it is may ring EARLY_S early, also when it crept on in small steps."""
    now_s = time.monotonic()
    for step in range(20):
        at_s = now_s + 0.01 + step * EARLY_S / 4
        alarm.set(now_s, at_s)
    assert bell.poll(LONG_S)
    assert time.monotonic() >= at_s - EARLY_S - 1e-6


def test_what_the_kernel_refuses_is_told(alarm: Alarm) -> None:
    closed = Alarm()
    closed.close()
    with pytest.raises(OSError, match="timerfd_settime"):
        closed.set(0.0, 1.0)
