"""Hash ids of a prompt's blocks, packed: long prompts have thousands, most of them in a row.

An entry is an id, or a run: `(first, how many)` stands for first, first + 1 ...
"""

from collections.abc import Iterable, Iterator, Sequence

Run = int | tuple[int, int]
HashIds = tuple[Run, ...]


def num_blocks(hash_ids: Sequence[Run]) -> int:
    return sum(1 if isinstance(run, int) else run[1] for run in hash_ids)


def unpacked(hash_ids: Iterable[Run]) -> Iterator[int]:
    """Each id, in order."""
    for run in hash_ids:
        if isinstance(run, int):
            yield run
        else:
            yield from range(run[0], run[0] + run[1])


def packed(hash_ids: Iterable[Run]) -> HashIds:
    """The same ids as few entries: three or more in a row become a run."""
    runs: list[tuple[int, int]] = []
    for one in hash_ids:
        first, num = _run(one)
        if runs and sum(runs[-1]) == first:
            runs[-1] = (runs[-1][0], runs[-1][1] + num)
        elif num:
            runs.append((first, num))
    found: list[Run] = []
    for first, num in runs:
        found += [(first, num)] if num > 2 else range(first, first + num)
    return tuple(found)


def leading(hash_ids: HashIds, num: int) -> HashIds:
    """The first `num` blocks."""
    found: list[Run] = []
    for run in hash_ids:
        if num <= 0:
            break
        length = 1 if isinstance(run, int) else run[1]
        found.append(run if isinstance(run, int) or length <= num else (run[0], num))
        num -= length
    return tuple(found)


def behind(hash_ids: HashIds, num: int) -> HashIds:
    """All but the first `num` blocks."""
    found: list[Run] = []
    for run in hash_ids:
        first, length = _run(run)
        if length > num:
            found.append((first + num, length - num) if num else run)
        num = max(0, num - length)
    return tuple(found)


def num_equal(one: Sequence[Run], other: Sequence[Run]) -> int:
    """How many leading ids are the same in both."""
    num = 0
    rest, rest_other = list(reversed(one)), list(reversed(other))
    while rest and rest_other:
        first, length = _run(rest.pop())
        first_other, length_other = _run(rest_other.pop())
        if first != first_other:
            break
        shared = min(length, length_other)
        num += shared
        if length > shared:
            rest.append((first + shared, length - shared))
        if length_other > shared:
            rest_other.append((first + shared, length_other - shared))
    return num


def _run(one: Run) -> tuple[int, int]:
    return (one, 1) if isinstance(one, int) else one


def misfit(
    hash_ids: Sequence[Run], prompt_tokens: int, block_tokens: int, *, whole: bool = False
) -> str | None:
    """What is wrong where a prompt is not as long as its blocks, or None.

    The last block may be partial. `whole`: a trace of whole blocks, which leaves a partial one out,
    may have one less: what is in it is nobody else's.
    """
    most, found = -(-prompt_tokens // block_tokens), num_blocks(hash_ids)
    if found == most or (whole and found == prompt_tokens // block_tokens):
        return None
    return (
        f"hash_ids: expected {most} for {prompt_tokens} tokens in blocks of {block_tokens}, "
        f"found {found}"
    )
