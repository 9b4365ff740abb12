"""What happened when, as the engine knows it: the truth that a client's stamps are held against.

One JSON object a line, times in seconds of the loop's clock (monotonic: one for all processes of a
machine, so a client on it can subtract). A phase change of a request; `id` is the number in its
answer's id (chatcmpl-7), `request` the `request_id` that its body had:

    {"at_s": 12.345678901, "id": 7, "phase": "waiting", "request": "mine", "prompt_tokens": 9}
    {"at_s": 12.346789012, "id": 7, "phase": "prefilling"}

a step's tokens, one for each id, at the moment when they are handed to their readers:

    {"at_s": 12.350123456, "emitted": [3, 5, 7]}

and each piece of text of a stream, before and after it was written to its socket:

    {"at_s": 12.350234567, "until_s": 12.350256789, "written": 7}
"""

from collections.abc import Sequence as Seq
from pathlib import Path
from queue import SimpleQueue
from threading import Thread

import msgspec

from reference_engine.sequence import Phase, Sequence
from reference_engine.specs import ConfigError


class EmitLog:
    """Lines are handed to a thread that writes them. Raises ConfigError if it cannot be opened."""

    def __init__(self, path: Path) -> None:
        try:
            self._file = path.open("wb")
        except OSError as error:
            raise ConfigError(f"emit log: {path}: {error.strerror or error}") from error
        self._lines: SimpleQueue[dict[str, object] | None] = SimpleQueue()
        self._thread = Thread(target=self._write, name="emit-log", daemon=True)
        self._thread.start()

    def phase(self, sequence: Sequence, phase: Phase, at_s: float) -> None:
        """A request has entered a phase, for the first time or again."""
        line: dict[str, object] = {"at_s": at_s, "id": sequence.id, "phase": phase.value}
        if phase is Phase.WAITING and not sequence.num_preemptions:
            line["request"] = sequence.name
            line["prompt_tokens"] = sequence.num_prompt_tokens
        if phase is Phase.FINISHED:
            line["reason"] = sequence.finish_reason
            line["output_tokens"] = len(sequence.output_ids)
        self._lines.put(line)

    def emitted(self, ids: Seq[int], at_s: float) -> None:
        """A step has given each of these requests a token."""
        self._lines.put({"at_s": at_s, "emitted": ids})

    def written(self, id: int, at_s: float, until_s: float) -> None:
        """Text of a request went to its client between these times."""
        self._lines.put({"at_s": at_s, "until_s": until_s, "written": id})

    def close(self) -> None:
        """Write what is left."""
        self._lines.put(None)
        self._thread.join()
        self._file.close()

    def _write(self) -> None:
        encode = msgspec.json.Encoder().encode
        while (line := self._lines.get()) is not None:
            self._file.write(encode(line) + b"\n")
            if self._lines.empty():
                self._file.flush()
