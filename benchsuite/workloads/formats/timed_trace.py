"""vLLM's `timed_trace` (JSONL): Mooncake's fields under names of the user's choice."""

from collections.abc import Iterator

from benchsuite.errors import TraceError
from benchsuite.spec import Count, DataPath, Positive, Spec
from benchsuite.workloads.blocks import misfit, packed
from benchsuite.workloads.formats.base import TraceRow
from benchsuite.workloads.formats.columns import Columns
from benchsuite.workloads.formats.reading import raw_objects


class TimedTrace(Spec, frozen=True, tag="timed_trace"):
    """vLLM's timed_trace (JSONL): time, lengths, hash ids, each under a name that can be given."""

    path: DataPath  # the JSONL, plain or gzipped
    block_tokens: Count = 16  # that one hash id stands for
    timestamp: str = "timestamp"  # the field with the time
    input_length: str = "input_length"  # the field with the prompt's tokens
    output_length: str = "output_length"  # the field with the answer's tokens
    hash_ids: str = "hash_ids"  # the field with the hash ids; rows need not have it
    seconds: Positive = 1.0  # that one unit of the time is: 0.001 for milliseconds

    def rows(self) -> Iterator[TraceRow | TraceError]:
        names = (self.timestamp, self.input_length, self.output_length, self.hash_ids)
        for line, raw in raw_objects(self.path):
            if isinstance(raw, TraceError):
                yield raw
                continue
            columns = Columns(raw)
            try:
                tokens = columns.get(self.input_length, int)
                hash_ids = columns.get_or(self.hash_ids, tuple[int, ...], ())
                if hash_ids and (problem := misfit(hash_ids, tokens, self.block_tokens)):
                    raise ValueError(problem)
                row = TraceRow(
                    line=line,
                    arrival_s=columns.get(self.timestamp, float) * self.seconds,
                    prompt_tokens=tokens,
                    output_tokens=columns.get(self.output_length, int),
                    hash_ids=packed(hash_ids),
                    extra=columns.rest(names),
                )
            except ValueError as error:
                yield TraceError(self.path, line, str(error))
            else:
                yield row
