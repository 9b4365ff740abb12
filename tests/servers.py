"""A scripted server in a thread of its own, for programs that are run as commands."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from tests.scripted_server import Script, ScriptedServer, scripted_server


@contextmanager
def served(*scripts: Script) -> Iterator[ScriptedServer]:
    """Plays the scripts, a request each, until the block ends."""
    ready: list[ScriptedServer] = []
    is_up = threading.Event()
    stop = asyncio.Event()
    loops: list[asyncio.AbstractEventLoop] = []

    async def play() -> None:
        async with scripted_server(*scripts) as server:
            loops.append(asyncio.get_running_loop())
            ready.append(server)
            is_up.set()
            await stop.wait()

    thread = threading.Thread(target=asyncio.run, args=(play(),))
    thread.start()
    is_up.wait()
    try:
        yield ready[0]
    finally:
        loops[0].call_soon_threadsafe(stop.set)
        thread.join()
