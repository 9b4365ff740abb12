"""From logits to token ids: penalties, greedy, temperature, top-k, min-p, top-p; by the batch.

A drawn token is a pure function of its logits and one uniform number, itself a pure function of
(seed, position): no generator has state, so preempting or moving a sequence cannot change it.
"""

from collections.abc import Sequence as Seq
from typing import Final, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import pad

from reference_engine.sequence import Sequence, TokenLogprobs

_BLOCK: Final = 128
_MASK: Final = (1 << 64) - 1
_SMALLEST: Final = torch.finfo(torch.float32).tiny


class Draw(NamedTuple):
    """How one row's token is chosen. Temperature 0 takes the likeliest."""

    temperature: float
    top_p: float
    uniform: float  # in [0, 1)
    banned: tuple[int, ...] = ()
    allowed: NDArray[np.bool_] | None = None  # [up to vocab]; None: all but the banned
    top_k: int = 0  # 0 = all
    min_p: float = 0.0


def uniform(seed: int, position: int) -> float:
    """A number in [0, 1) for this seed and position: two rounds of splitmix64.

    Steele et al., OOPSLA 2014. The seed is mixed first, so that seed s at position p + 1 is not
    seed s + 1 at position p.
    """
    return (_mixed(_mixed(seed) + position) >> 11) * 2.0**-53


def _mixed(value: int) -> int:
    value = (value + 0x9E3779B97F4A7C15) & _MASK
    value = ((value ^ value >> 30) * 0xBF58476D1CE4E5B9) & _MASK
    value = ((value ^ value >> 27) * 0x94D049BB133111EB) & _MASK
    return value ^ value >> 31


def on_device(values: Seq[float] | Seq[int], dtype: torch.dtype, device: torch.device) -> Tensor:
    """`values` as a tensor there. A GPU fetches them in its own time, so nobody waits for it."""
    here = torch.tensor(values, dtype=dtype)
    return here.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else here


def sample(logits: Tensor, draws: Seq[Draw]) -> list[int]:
    """One token id per row of `logits` [n, vocab] float32; what may not come is overwritten."""
    tokens: list[int] = choose(logits, draws).tolist()
    return tokens


def choose(logits: Tensor, draws: Seq[Draw]) -> Tensor:
    """As `sample`, left on the device: int64 [n]. Waits for no GPU unless tokens are banned."""
    vocab = logits.shape[1]
    for row, draw in enumerate(draws):
        if draw.allowed is not None:
            known = min(vocab, len(draw.allowed))
            logits[row, :known].masked_fill_(
                torch.from_numpy(~draw.allowed[:known]).to(logits.device), -torch.inf
            )
            logits[row, known:] = -torch.inf
        if draw.banned:
            logits[row, [token for token in draw.banned if token < vocab]] = -torch.inf
    random = [row for row, draw in enumerate(draws) if draw.temperature > 0]
    if len(random) == len(draws):
        return _drawn(logits, draws)
    tokens = _likeliest(logits)
    if random:
        rows = on_device(random, torch.long, logits.device)
        tokens[rows] = _drawn(logits[rows], [draws[row] for row in random])
    return tokens


def _likeliest(logits: Tensor) -> Tensor:
    # numpy's argmax is vectorised; torch's takes 18 times as long on a CPU.
    return torch.from_numpy(logits.numpy().argmax(-1)) if logits.is_cpu else logits.argmax(-1)


def _drawn(logits: Tensor, draws: Seq[Draw]) -> Tensor:
    def column(values: list[float]) -> Tensor:
        return on_device(values, torch.float64, logits.device)[:, None]

    def positive(values: list[float]) -> Tensor:
        """float32, which must not round what is above 0 to 0: one row would fail the batch."""
        return column(values).clamp_min(_SMALLEST).float()

    temperature = positive([draw.temperature for draw in draws])
    # The largest is taken off before dividing, not after: a tiny temperature must not overflow.
    weights = ((logits - logits.amax(-1, keepdim=True)) / temperature).softmax(-1)
    if any(draw.top_k or draw.min_p for draw in draws):
        weights = _cut(weights, draws)
    if any(draw.top_p < 1 for draw in draws):
        weights = nucleus(weights, positive([draw.top_p for draw in draws]))
    return _inverted(weights, column([draw.uniform for draw in draws]))


def _cut(weights: Tensor, draws: Seq[Draw]) -> Tensor:
    """0 for what is not among a row's `top_k` likeliest, or below `min_p` times the likeliest.

    Those as likely as the last one kept are kept too. What is left is made to sum to 1, as the
    nucleus afterwards is one of what is left. Nguyen et al., arXiv:2407.01082 (min-p).
    """
    device = weights.device
    least = weights.amax(-1) * on_device([d.min_p for d in draws], torch.float32, device)
    for top_k in {draw.top_k for draw in draws if 0 < draw.top_k < weights.shape[1]}:
        alike = [row for row, draw in enumerate(draws) if draw.top_k == top_k]
        rows = on_device(alike, torch.long, device)
        last = weights[rows].topk(top_k).values[:, -1]
        least[rows] = torch.maximum(least[rows], last)
    kept = weights.masked_fill(weights < least[:, None], 0.0)
    return kept / kept.sum(-1, keepdim=True)


def penalise(logits: Tensor, sequence: Sequence) -> None:
    """Lower in place what was there before: outputs by the presence and frequency penalties (as in
    OpenAI's API), prompt and outputs by the repetition penalty (Keskar et al., arXiv:1909.05858).
    """
    params, vocab = sequence.params, logits.shape[0]
    if params.repetition_penalty != 1.0:
        seen = torch.tensor(sorted({*sequence.prompt_ids, *sequence.output_ids}))
        seen = seen[seen < vocab].to(logits.device)
        values = logits[seen]
        factor = min(max(params.repetition_penalty, 1e-30), 1e30)  # or a row would not be finite
        logits[seen] = torch.where(values > 0, values / factor, values * factor)
    if sequence.output_ids:
        outputs = torch.tensor(sequence.output_ids, device=logits.device)
        counts = torch.bincount(outputs, minlength=vocab)[:vocab]
        logits -= params.frequency_penalty * counts + params.presence_penalty * (counts > 0)


def likeliest(logprobs: Tensor, token: int, count: int) -> TokenLogprobs:
    """What a row of log-probabilities says of `token`, and its `count` likeliest."""
    top = logprobs.topk(min(count, logprobs.shape[0]))
    pairs = zip(top.indices.tolist(), top.values.tolist(), strict=True)
    return TokenLogprobs(float(logprobs[token]), tuple(pairs))


def nucleus(probabilities: Tensor, top_p: Tensor) -> Tensor:
    """Probabilities of the likeliest tokens that reach `top_p` [n, 1] together, 0 elsewhere.

    Not normalised. Tokens as likely as the last one kept are kept too. Holtzman et al., 2020.
    """
    if probabilities.is_cpu:  # numpy's sort is vectorised: a fourteenth of torch's time
        descending = torch.from_numpy(np.sort(probabilities.numpy(), axis=-1)).flip(-1)
    else:
        descending = probabilities.sort(-1, descending=True).values
    before = descending.cumsum(-1) - descending
    kept = (before < top_p).sum(-1, keepdim=True)
    least = descending.gather(1, kept - 1)
    least.masked_fill_(top_p >= 1, 0.0)
    return probabilities.masked_fill(probabilities < least, 0.0)


def invert(weights: Tensor, uniforms: Tensor) -> list[int]:
    """Per row the token at which the running sum of `weights` [n, vocab] passes uniform * total.

    In two stages, blocks and then within one: a running sum over a whole vocabulary is slow. A
    token of weight 0 is never chosen.
    """
    tokens: list[int] = _inverted(weights, uniforms).tolist()
    return tokens


def _inverted(weights: Tensor, uniforms: Tensor) -> Tensor:
    blocks = pad(weights, (0, -weights.shape[1] % _BLOCK)).view(len(weights), -1, _BLOCK)
    sums = blocks.sum(-1).double().cumsum(-1)
    block = _passes(sums, uniforms * sums[:, -1:])
    inside = blocks[torch.arange(len(blocks), device=block.device), block[:, 0]].double().cumsum(-1)
    before = sums.gather(1, block) - inside[:, -1:]
    token = _passes(inside, uniforms * sums[:, -1:] - before)
    return (block * _BLOCK + token)[:, 0]


def _passes(running: Tensor, target: Tensor) -> Tensor:
    """First index where `running` [n, m] exceeds `target` [n, 1]; never past the end."""
    last = torch.nextafter(running[:, -1:], torch.zeros_like(target))
    return torch.searchsorted(running, target.clamp_min(0.0).minimum(last), right=True)
