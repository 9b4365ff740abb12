"""Single requests of given lengths, each with its own stretch of real text."""

from collections.abc import Iterator
from typing import Annotated, ClassVar

from msgspec import Meta

from benchsuite import streams
from benchsuite.request import Request, Session
from benchsuite.spec import Spec
from benchsuite.workloads.lengths import Empirical, Lengths, tied
from benchsuite.workloads.prompts import Piece, Pieces
from benchsuite.workloads.tokenizer import Tokenizer


class Synthetic(Spec, frozen=True, tag="synthetic"):
    """Prompts of given lengths cut from real prose, no two alike; without end.

    `shared_prefix_tokens` more tokens stand in front of every prompt, the same for all (a system
    prompt that a prefix cache can keep); they come on top of `prompt_tokens`.
    `rank_correlation` ties a request's prompt length to its output length: Spearman's rho, by a
    Gaussian copula. `ignore_eos`: outputs are as long as asked, where the server obeys.
    """

    is_endless: ClassVar[bool] = True

    prompt_tokens: Lengths
    output_tokens: Lengths
    shared_prefix_tokens: Annotated[int, Meta(ge=0)] = 0
    rank_correlation: Annotated[float, Meta(gt=-1, lt=1)] = 0.0
    ignore_eos: bool = True

    def __post_init__(self) -> None:
        both = (self.prompt_tokens, self.output_tokens)
        if self.rank_correlation and any(
            isinstance(one, Empirical) and list(one.values) != sorted(one.values) for one in both
        ):
            raise ValueError("rank_correlation: the values of empirical lengths must ascend")

    def sessions(self, tokenizer: Tokenizer, seed: int) -> Iterator[Session]:
        prompt_rng = streams.rng(seed, "prompt_tokens")
        output_rng = streams.rng(seed, "output_tokens")
        prefix = Piece(("shared_prefix",), self.shared_prefix_tokens)
        index = 0
        while True:
            prompt_at, output_at = tied(self.rank_correlation, prompt_rng, output_rng)
            own = Piece(("prompt", index), self.prompt_tokens.at(prompt_at))
            request = Request(
                id=index,
                prompt=Pieces(tokenizer, seed, (prefix, own) if prefix.num_tokens else (own,)),
                prompt_tokens=prefix.num_tokens + own.num_tokens,
                max_output_tokens=self.output_tokens.at(output_at),
                ignore_eos=self.ignore_eos,
            )
            yield Session(index, (request,))
            index += 1

    def notes(self) -> tuple[str, ...]:
        return ()
