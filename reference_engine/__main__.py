"""`python -m reference_engine`: serve one engine until SIGTERM or SIGINT.

Prints one JSON line with the url when it listens. Exit codes: 0 stopped, 2 a configuration that
cannot be used, 3 an address that cannot be had.
"""

import argparse
import asyncio
import gc
import os
import signal
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from typing import Final

import msgspec

from reference_engine.config import EngineConfig, load
from reference_engine.emit_log import EmitLog
from reference_engine.model_source import PRESETS
from reference_engine.server.api import open_api
from reference_engine.server.app import AddressError, bind, serve, url
from reference_engine.specs import ConfigError

_BAD_CONFIG: Final = 2
_NO_ADDRESS: Final = 3


class Ready(msgspec.Struct):
    """What is printed when the server listens."""

    url: str
    model: str


def main() -> int:
    arguments = _parser().parse_args()
    try:
        asyncio.run(_serve(arguments))
    except (ConfigError, AddressError) as error:
        print(f"reference_engine: {error}", file=sys.stderr)
        return _NO_ADDRESS if isinstance(error, AddressError) else _BAD_CONFIG
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="reference_engine", description="Serve one engine.")
    parser.add_argument("--config", type=Path, help="a JSON file; the flags below go before it")
    parser.add_argument("--preset", choices=sorted(PRESETS), help="model with random weights")
    parser.add_argument("--policy", help="scheduling policy, with its defaults")
    parser.add_argument("--executor", choices=["torch", "roofline"], help="with its defaults")
    parser.add_argument("--tokenizer", help="a tokenizer.json or tokenizer.json.gz")
    parser.add_argument("--model-name", help="the name clients use")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0 (default): a free one")
    parser.add_argument(
        "--emit-log", type=Path, help="write when each token and phase came (JSON lines)"
    )
    parser.add_argument(
        "--exit-with-parent", action="store_true", help="stop when standard input ends"
    )
    return parser


def _config(arguments: argparse.Namespace) -> EngineConfig:
    """The file's configuration with the flags over it. Raises ConfigError."""
    config = EngineConfig() if arguments.config is None else load(arguments.config)
    flags = {
        "model": arguments.preset,
        "policy": arguments.policy and {"type": arguments.policy},
        "executor": arguments.executor and {"type": arguments.executor},
        "tokenizer": arguments.tokenizer,
        "model_name": arguments.model_name,
    }
    given = {name: value for name, value in flags.items() if value is not None}
    try:
        return msgspec.convert({**msgspec.to_builtins(config), **given}, EngineConfig)
    except msgspec.ValidationError as error:
        raise ConfigError(str(error)) from error


async def _serve(arguments: argparse.Namespace) -> None:
    config = _config(arguments)
    listener = bind(arguments.host, arguments.port)  # first: a taken port is told at once
    stop = _stop_event(arguments.exit_with_parent)
    epoch_s = time.time() - asyncio.get_running_loop().time()
    with listener, ThreadPoolExecutor(1, "tokenize") as threads, ExitStack() as stack:
        emit_log = None
        if arguments.emit_log is not None:
            emit_log = stack.enter_context(closing(EmitLog(arguments.emit_log)))
        async with (
            open_api(config, unix_epoch_s=epoch_s, threads=threads, emit_log=emit_log) as api,
            serve(api, listener, emit_log=emit_log),
        ):
            # What stands now stays: later collections need not look at it and pause for less.
            gc.collect()
            gc.freeze()
            print(msgspec.json.encode(Ready(url(listener), api.model)).decode(), flush=True)
            await stop.wait()


def _stop_event(with_parent: bool) -> asyncio.Event:
    """Set by SIGTERM, SIGINT and, if asked for, by the end of standard input. Whoever signals again
    does not want to wait for open requests: the second signal ends the process at once."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    signals = (signal.SIGTERM, signal.SIGINT)

    def stop_once() -> None:
        stop.set()
        for number in signals:
            loop.remove_signal_handler(number)
            signal.signal(number, signal.SIG_DFL)

    for number in signals:
        loop.add_signal_handler(number, stop_once)
    if with_parent:
        # A thread, since standard input may be something an event loop cannot wait for.
        watch = threading.Thread(target=_watch_parent, args=(loop, stop), daemon=True)
        watch.start()
    return stop


def _watch_parent(loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
    while os.read(0, 4096):
        pass
    with suppress(RuntimeError):  # the loop may have ended first
        loop.call_soon_threadsafe(stop.set)


if __name__ == "__main__":
    sys.exit(main())
