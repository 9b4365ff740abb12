"""Lengths as they occurred together: single requests drawn from the rows of a trace."""

from collections.abc import Iterator
from typing import ClassVar, Literal, NamedTuple

from benchsuite import streams
from benchsuite.errors import ScenarioError, TraceError
from benchsuite.request import Request, Session
from benchsuite.spec import Count, Positive, Spec
from benchsuite.workloads.formats import TraceFormat
from benchsuite.workloads.formats.base import TraceRow
from benchsuite.workloads.prompts import Piece, Pieces
from benchsuite.workloads.tokenizer import Tokenizer


class _Pair(NamedTuple):
    prompt_tokens: int
    output_tokens: int
    slo_class: str


class Resampled(Spec, frozen=True, tag="resampled"):
    """Prompt and output lengths of rows drawn at random from a trace, without end.

    Each request has the two lengths (and the class) of one row, so whatever ties them is kept.
    Times, sessions and shared prefixes are not, and every prompt has its own text. `slo_class`
    takes the rows of one class alone. Lengths are multiplied by `token_scale` and clipped to the
    limits. A row without lengths, or a broken one, stops the run, or is left out
    (`on_bad_row: skip`).
    """

    is_endless: ClassVar[bool] = True

    source: TraceFormat
    slo_class: str | None = None
    token_scale: Positive = 1.0
    max_prompt_tokens: Count | None = None
    max_output_tokens: Count | None = None
    on_bad_row: Literal["fail", "skip"] = "fail"
    ignore_eos: bool = True

    def sessions(self, tokenizer: Tokenizer, seed: int) -> Iterator[Session]:
        pairs, _ = self._read()
        rng = streams.rng(seed, "resampled")
        index = 0
        while True:
            pair = pairs[int(rng.integers(len(pairs)))]
            prompt_tokens = self._sized(pair.prompt_tokens, self.max_prompt_tokens)
            request = Request(
                id=index,
                prompt=Pieces(tokenizer, seed, (Piece(("prompt", index), prompt_tokens),)),
                prompt_tokens=prompt_tokens,
                max_output_tokens=self._sized(pair.output_tokens, self.max_output_tokens),
                ignore_eos=self.ignore_eos,
                slo_class=pair.slo_class,
            )
            yield Session(index, (request,))
            index += 1

    def notes(self) -> tuple[str, ...]:
        pairs, broken = self._read()
        found = []
        if broken:
            found.append(f"{len(broken)} broken trace rows were skipped; the first: {broken[0]}")
        clipped = sum(self._is_clipped(pair) for pair in pairs)
        if clipped:
            found.append(f"{clipped} of {len(pairs)} trace rows are clipped to a limit")
        return tuple(found)

    def _read(self) -> tuple[list[_Pair], list[TraceError]]:
        pairs: list[_Pair] = []
        broken: list[TraceError] = []
        for row in self.source.rows():
            found = row if isinstance(row, TraceError) else self._pair(row)
            if isinstance(found, _Pair):
                if self.slo_class in (None, found.slo_class):
                    pairs.append(found)
            elif self.on_bad_row == "fail":
                raise found
            else:
                broken.append(found)
        if not pairs:
            of_class = "" if self.slo_class is None else f" of class {self.slo_class}"
            raise ScenarioError(f"{self.source.path}: no row{of_class} to draw from")
        return pairs, broken

    def _pair(self, row: TraceRow) -> _Pair | TraceError:
        if row.prompt_tokens is None or row.output_tokens is None:
            problem = "expected the length of a prompt and of its output"
            return TraceError(self.source.path, row.line, problem)
        return _Pair(row.prompt_tokens, row.output_tokens, row.slo_class)

    def _sized(self, tokens: int, limit: int | None) -> int:
        scaled = max(1, round(tokens * self.token_scale))
        return scaled if limit is None else min(scaled, limit)

    def _is_clipped(self, pair: _Pair) -> bool:
        prompt = self._sized(pair.prompt_tokens, self.max_prompt_tokens)
        output = self._sized(pair.output_tokens, self.max_output_tokens)
        whole = (self._sized(pair.prompt_tokens, None), self._sized(pair.output_tokens, None))
        return (prompt, output) != whole
