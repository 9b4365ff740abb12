"""How many tokens each chunk of an answer carried. Pure.

The first source that says anything wins; whichever it is, the sum over chunks is its total N:

1. running usage: every chunk's event said how many tokens there were by then; the differences.
2. usage: N is the server's count for the whole answer.
3. tokenizer: N is our count of the whole text.
4. chunks: one token a chunk, because the tokenizer finds none in a text that is not empty.

Where only N is known (2, 3), the C chunks share it so:

- N = C: one each.
- N < C (words cut into pieces): N of the chunks carry one token each, evenly spaced, the first and
  the last among them, so that first and last token keep their times.
- N > C (grouped tokens, bytes held back until a character is whole): one each; the other N - C by
  largest remainder, weighted by how many tokens more than one our tokenizer finds in the chunk
  (equally if it finds none); ties go to the later chunk.

A token without text, such as the end-of-sequence token that servers count but do not send, thus
belongs to a chunk that has text: under 1 always to the next one, or to the last if none follows.
"""

from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import NamedTuple

from benchsuite.exchange import TokenCounter, TokensFrom


class Attribution(NamedTuple):
    tokens: Sequence[int]  # [chunks]
    tokens_from: TokensFrom


def attribute(
    texts: Sequence[str],
    running: Sequence[int | None],
    total: int | None,
    count_tokens: TokenCounter,
) -> Attribution:
    """Tokens of each of `texts`.

    `running[i]`: tokens so far, as said by the event that brought chunk i. `total`: of the whole
    answer. None: not said.
    """
    by_running = _differences(running, total)
    if by_running is not None:
        return Attribution(by_running, "running_usage")
    if total is not None and (total or not texts):
        return Attribution(_share(total, texts, count_tokens), "usage")
    counted = count_tokens("".join(texts)) if texts else 0
    if counted or not texts:
        return Attribution(_share(counted, texts, count_tokens), "tokenizer")
    return Attribution([1] * len(texts), "chunks")


def in_proportion(tokens: Sequence[int], total: int) -> list[int]:
    """`total` tokens over chunks as `tokens` lie over them; the first chunk always has one.

    For several answers of which one has chunks: each stands for a step in which all went on.
    """
    whole = sum(tokens)
    ends = [-(-total * end // whole) for end in accumulate(tokens)]
    return [end - before for before, end in pairwise([0, *ends])]


def _differences(running: Sequence[int | None], total: int | None) -> list[int] | None:
    """Tokens between chunks; None unless the counts begin, rise and end as running counts do."""
    tokens: list[int] = []
    before = 0
    for count in running:
        if count is None or count < before:
            return None
        tokens.append(count - before)
        before = count
    if len(tokens) < 2 or not tokens[0] or before == tokens[0]:
        return None
    if total is not None and total < before:
        return None
    tokens[-1] += (total or before) - before
    return tokens


def _share(total: int, texts: Sequence[str], count_tokens: TokenCounter) -> list[int]:
    """`total` tokens over the chunks, by the rules of this file's head."""
    num_chunks = len(texts)
    if total == num_chunks:
        return [1] * num_chunks
    if total > num_chunks > 0:
        return _with_rest(total - num_chunks, texts, count_tokens)
    tokens = [0] * num_chunks
    for i in range(min(total, num_chunks)):
        tokens[i * (num_chunks - 1) // max(total - 1, 1)] = 1
    return tokens


def _with_rest(rest: int, texts: Sequence[str], count_tokens: TokenCounter) -> list[int]:
    """One token a chunk, and `rest` more by largest remainder."""
    counts = {text: count_tokens(text) for text in set(texts)}
    weights = [max(counts[text] - 1, 0) for text in texts]
    if not any(weights):
        weights = [1] * len(texts)
    whole = sum(weights)
    tokens = [1 + rest * weight // whole for weight in weights]
    left = len(texts) + rest - sum(tokens)
    by_remainder = sorted(range(len(texts)), key=lambda i: (rest * weights[i] % whole, i))
    for i in by_remainder[len(texts) - left :]:
        tokens[i] += 1
    return tokens
