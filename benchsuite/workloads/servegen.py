"""A service as the sum of its clients, each bursty in its own way (ServeGen, arXiv:2505.09999)."""

from collections.abc import Iterator
from typing import ClassVar

from benchsuite.request import Request, Session
from benchsuite.spec import Count, DataPath, Positive, Seconds, Spec
from benchsuite.workloads.formats import client_pool
from benchsuite.workloads.formats.servegen import MEDIA_FIELDS, Asked, Correlation, drawn
from benchsuite.workloads.prompts import Piece, Pieces
from benchsuite.workloads.tokenizer import Tokenizer


class ServeGen(Spec, frozen=True, tag="servegen"):
    """Requests of a pool of clients, each with its own rate, burstiness and lengths over time.

    The pool is a folder of ServeGen's `chunk-*` files, or a JSONL with a client a line. Recorded
    times (`arrivals: {type: timestamps}`) are those drawn for the clients from `start` on, for
    `duration`; `rate_scale` multiplies every client's rate and leaves its burstiness. A request's
    tenant is its client. Lengths are multiplied by `token_scale` and clipped to the limits. Tokens
    of images, sound and video are sent as text. `rank_correlation` ties a request's prompt length
    to its output length (Spearman's rho, by a Gaussian copula).
    """

    is_endless: ClassVar[bool] = False

    path: DataPath
    duration: Seconds
    start: Seconds = 0.0
    rate_scale: Positive = 1.0
    token_scale: Positive = 1.0
    rank_correlation: Correlation = 0.0
    max_prompt_tokens: Count | None = None
    max_output_tokens: Count | None = None
    ignore_eos: bool = True

    def sessions(self, tokenizer: Tokenizer, seed: int) -> Iterator[Session]:
        """With `start_s` from `start` on."""
        asked = Asked(self.path, self.start, self.duration, self.rate_scale, self.rank_correlation)
        for index, one in enumerate(drawn(asked, seed)):
            num_tokens = _sized(one.prompt_tokens, self.token_scale, self.max_prompt_tokens)
            pieces = (Piece(("client", one.client, one.number), num_tokens),)
            request = Request(
                id=index,
                prompt=Pieces(tokenizer, seed, pieces),
                prompt_tokens=num_tokens,
                max_output_tokens=_sized(
                    one.output_tokens, self.token_scale, self.max_output_tokens
                ),
                ignore_eos=self.ignore_eos,
                tenant=one.client,
            )
            yield Session(index, (request,), start_s=one.at_s)

    def notes(self) -> tuple[str, ...]:
        clients = client_pool.read(self.path)
        fields = {name for client in clients for table in client.tables for name in table}
        notes = []
        if media := [name for name in MEDIA_FIELDS if name in fields]:
            notes.append(f"{', '.join(media)} of the pool are sent as text")
        if "reason_ratio" in fields:
            notes.append("reason_ratio of the pool is not asked of the server")
        return tuple(notes)


def _sized(tokens: int, scale: float, limit: int | None) -> int:
    scaled = max(1, round(tokens * scale))
    return scaled if limit is None else min(scaled, limit)
