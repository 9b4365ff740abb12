"""What an answer costs where a request asks for several: samples, or a batch of prompts.

An item is one question that a request asks. Several samples of an answer (`n`) are answers to the
same item, and requests of one `group` ask for the same items again, as rounds of votes do: each
item counts once, however often it was answered.
"""

import numpy as np

from benchsuite.records.table import BoolArray, FloatArray, RunData


def calls_per_item(data: RunData) -> FloatArray:
    """Requests that were sent in the measurement window / items that were answered: 5 rounds of
    votes on one batch of 32 items are 5 / 32. Those that failed are calls too, and answer nothing.
    Undefined where no item was answered. Source: BatchPrompt, arXiv:2309.00384."""
    sent = data.in_window & ~np.isnan(data.sent_s)
    return _per_item(float(np.count_nonzero(sent)), data)


def prompt_tokens_per_item(data: RunData) -> FloatArray:
    """Prompt tokens of requests that ended well / items that they answered. What a batch shares is
    thereby divided among its items. Source: BatchPrompt, arXiv:2309.00384."""
    return _per_item(float(data.prompt_tokens[_answered(data)].sum()), data)


def output_tokens_per_item(data: RunData) -> FloatArray:
    """Output tokens of requests that ended well / items that they answered; of all answers together
    as the server counts them. Source: BatchPrompt, arXiv:2309.00384."""
    return _per_item(float(data.output_tokens[_answered(data)].sum()), data)


def lacks_items(data: RunData) -> str | None:
    return None if (data.num_questions > 1).any() else "no request asked several questions"


def num_items(data: RunData) -> int:
    """Items answered by requests that are due in the window and ended well; a group's once."""
    answered = _answered(data)
    if data.group is None:
        return int(data.num_questions[answered].sum())
    alone = answered & (data.group < 0)
    grouped = np.flatnonzero(answered & (data.group >= 0))
    groups, place = np.unique(data.group[grouped], return_inverse=True)
    most = np.zeros(len(groups), dtype=np.int64)
    np.maximum.at(most, place, data.num_questions[grouped])
    return int(data.num_questions[alone].sum() + most.sum())


def _answered(data: RunData) -> BoolArray:
    return data.in_window & data.ok


def _per_item(amount: float, data: RunData) -> FloatArray:
    num = num_items(data)
    return np.array([amount / num if num else np.nan])
