"""A tool that only pretends: its time, its size and its failures are drawn."""

from collections.abc import Mapping
from typing import Any, ClassVar

from benchsuite import streams
from benchsuite.message import Tool
from benchsuite.spec import Share, Spec
from benchsuite.tools.base import Outcome
from benchsuite.workloads.durations import Durations, FixedTime
from benchsuite.workloads.lengths import Fixed, Lengths
from benchsuite.workloads.tokenizer import Tokenizer

FAILED = 1


class Stub(Spec, frozen=True, tag="stub"):
    """Answers any sound call with one of `results`, or with prose of a drawn length, after a drawn
    time. What is drawn for a call is the same in every run."""

    is_real: ClassVar[bool] = False

    name: str  # as the model calls it
    description: str = ""  # what the model is told of it
    parameters: dict[str, Any] = {}  # JSON Schema of its arguments; unset: none
    latency: Durations = FixedTime(0.0)  # how long a call takes
    results: tuple[str, ...] = ()  # answers, equally often; unset: prose
    result_tokens: Lengths = Fixed(64)  # length of the prose
    failures: Share = 0.0  # share of the calls that fail

    def tool(self) -> Tool:
        return Tool(self.name, self.description, self.parameters)

    def bound(self, tokenizer: Tokenizer, seed: int) -> "BoundStub":
        """Ready to be called."""
        return BoundStub(self, tokenizer, seed)


class BoundStub:
    """A stub with what it draws from. Calls count by session, turn and place in the answer."""

    is_real = False

    def __init__(self, stub: Stub, tokenizer: Tokenizer, seed: int) -> None:
        self._stub, self._tokenizer, self._seed = stub, tokenizer, seed

    def tool(self) -> Tool:
        return self._stub.tool()

    def call(self, arguments: Mapping[str, Any], key: tuple[int, ...]) -> Outcome:
        stub = self._stub
        rng = streams.rng(self._seed, "tool", stub.name, *key)
        latency_s, fails = stub.latency.draw(rng), rng.random() < stub.failures
        chosen, num_tokens = rng.random(), stub.result_tokens.draw(rng)
        if fails:
            return Outcome("error: the tool failed", latency_s, FAILED)
        if stub.results:
            return Outcome(stub.results[int(chosen * len(stub.results))], latency_s)
        return Outcome(self._tokenizer.passage(num_tokens, rng).text, latency_s)
