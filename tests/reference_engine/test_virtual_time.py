"""The loop whose clock jumps: same order as real time, no waiting, exact times."""

import asyncio

import pytest

from reference_engine.virtual_time import VirtualDeadlockError, VirtualTimeLoop
from tests.reference_engine.simulation import run_virtually


def test_an_hour_passes_at_once() -> None:
    """Sleeping takes virtual seconds only, and starts from 0."""

    async def main() -> tuple[float, float]:
        loop = asyncio.get_running_loop()
        before = loop.time()
        await asyncio.sleep(3600)
        return before, loop.time()

    assert run_virtually(main) == (0.0, 3600.0)


def test_order_is_that_of_real_time() -> None:
    """Timers fire in order of their times; equal ones in some fixed order; timeouts cut waits."""

    async def main() -> list[tuple[float, str]]:
        loop = asyncio.get_running_loop()
        seen: list[tuple[float, str]] = []

        async def note(after_s: float, name: str) -> None:
            await asyncio.sleep(after_s)
            seen.append((loop.time(), name))

        async with asyncio.TaskGroup() as group:
            for after_s, name in ((3.0, "c"), (1.0, "a"), (2.0, "b")):
                group.create_task(note(after_s, name))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                await asyncio.Event().wait()
        seen.append((loop.time(), "timeout"))
        return seen

    expected = [(1.0, "a"), (2.0, "b"), (3.0, "c"), (3.5, "timeout")]
    assert run_virtually(main) == expected == run_virtually(main)


def test_deadlock_is_told() -> None:
    """Waiting for nothing raises instead of hanging."""

    async def main() -> None:
        await asyncio.sleep(2)
        await asyncio.Event().wait()

    loop = VirtualTimeLoop()
    task = loop.create_task(main())
    with pytest.raises(VirtualDeadlockError, match=r"at 2\.0 s"):
        loop.run_until_complete(task)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        loop.run_until_complete(task)
    loop.close()


def test_a_skip_is_a_sleep_during_which_nothing_happens() -> None:
    """It ends at the very time where the sleep would; it is none where something is due."""

    async def main() -> list[float]:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualTimeLoop)
        times = []
        for delay_s in (0.1, 0.2, 1e-3 / 3):
            await asyncio.sleep(delay_s)
            times.append(loop.time())
        return times

    async def skipping() -> list[float]:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualTimeLoop)
        times = []
        for delay_s in (0.1, 0.2, 1e-3 / 3):
            assert loop.skip(delay_s)
            times.append(loop.time())
        loop.call_later(5.0, times.clear)
        assert not loop.skip(5.0)
        assert loop.skip(4.0)
        loop.call_soon(str)
        assert not loop.skip(0.5)
        return times

    assert run_virtually(skipping) == run_virtually(main)


def test_the_clock_lands_on_timers_to_the_last_bit() -> None:
    """Whatever else wakes the loop on the way."""

    async def main() -> list[float]:
        loop = asyncio.get_running_loop()
        for number in range(50):
            loop.call_later(number * 0.0317, str)
        times = [loop.time()]
        for delay_s in (0.1, 0.2, 1e-3 / 3, 0.7):
            await asyncio.sleep(delay_s)
            times.append(loop.time())
        return times

    expected = [0.0, 0.1, 0.1 + 0.2, 0.1 + 0.2 + 1e-3 / 3, 0.1 + 0.2 + 1e-3 / 3 + 0.7]
    assert run_virtually(main) == expected


def test_who_only_looks_on_can_tell_that_nothing_else_will_happen() -> None:
    """A timer of its own would hide the deadlock; cancelled ones do not count."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualTimeLoop)
        never = loop.create_future()
        asyncio.create_task(asyncio.sleep(1)).add_done_callback(lambda _: None)
        await asyncio.sleep(0)
        assert not loop.is_stuck(), "somebody sleeps"
        loop.call_later(9, print).cancel()
        await asyncio.sleep(2)
        assert loop.is_stuck()
        await never

    with (
        asyncio.Runner(loop_factory=VirtualTimeLoop) as runner,
        pytest.raises(VirtualDeadlockError, match="at 2"),
    ):
        runner.run(main())
