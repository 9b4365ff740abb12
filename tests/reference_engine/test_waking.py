"""Readers go on in order, so many a turn, and others have their turn in between."""

import asyncio

from reference_engine.waking import LOT, Waker


def test_lots_leave_turns_between_them() -> None:
    """Two and a half lots at once, then one more: all in order, never more than a lot in a turn."""

    async def main() -> tuple[list[int], list[int]]:
        loop = asyncio.get_running_loop()
        waker, order, counts = Waker(loop), list[int](), [0]

        async def read(number: int, future: asyncio.Future[None]) -> None:
            await future
            order.append(number)
            counts[-1] += 1

        async def burst(numbers: range) -> None:
            futures = [loop.create_future() for _ in numbers]
            readers = [
                asyncio.create_task(read(*one)) for one in zip(numbers, futures, strict=True)
            ]
            await asyncio.sleep(0)
            futures[-1].cancel()  # its reader has gone meanwhile
            for future in futures:
                waker.wake(future)
            while not all(reader.done() for reader in readers):
                counts.append(0)
                await asyncio.sleep(0)

        await burst(range(LOT * 5 // 2))
        await burst(range(1000, 1000 + LOT))
        return order, counts

    order, counts = asyncio.run(main())
    expected = [*range(LOT * 5 // 2), *range(1000, 1000 + LOT)]
    expected.remove(LOT * 5 // 2 - 1)
    expected.remove(1000 + LOT - 1)
    assert order == expected
    assert max(counts) <= LOT
