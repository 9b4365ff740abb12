"""The four ways in which conversations with tools waste work, and what each costs.

After "Beyond Accuracy: Unveiling Inefficiency Patterns in Tool-Integrated Reasoning", appendix E
(arXiv:2604.05404). Each is a fact of a whole session; its multiplier is the mean PTE of sessions
that show it over that of sessions that show none.
"""

from collections.abc import Callable
from typing import Final

import numpy as np

from benchsuite.metrics.base import Interval, Metric
from benchsuite.metrics.statistics import MIN_SESSIONS, percentile_interval, resampled, wilson
from benchsuite.records.table import BoolArray, FloatArray, IntArray, RunData

PteOf = Callable[[RunData], FloatArray]

WEB: Final = frozenset({"search", "visit", "browse", "open_url", "fetch", "web_search"})
"""Tools that the paper's discussion takes for one, though its rule counts them apart."""
_CODE: Final = ("python", "code", "sandbox", "execute", "interpreter")
"""What is in the name of a tool that runs code."""


def _sessions(data: RunData, requests: IntArray) -> BoolArray:
    """Whether any of these requests is of a session, [num_sessions]."""
    found: BoolArray = np.bincount(data.session[requests], minlength=data.num_sessions) > 0
    return found


def tool_mixing(data: RunData) -> BoolArray:
    """More than one kind of tool was called, [num_sessions]."""
    return _kinds(data, lambda name: name) > 1


def toolset_mixing(data: RunData) -> BoolArray:
    """As `tool_mixing`, where all that search and visit the web is one kind."""
    return _kinds(data, lambda name: "web" if name.lower() in WEB else name) > 1


def _kinds(data: RunData, kind: Callable[[str], str]) -> FloatArray:
    assert data.tools is not None
    of_call = data.session[data.tools.call_request]
    pairs = {(int(s), kind(name)) for s, name in zip(of_call, data.tools.call_name, strict=True)}
    return np.bincount(
        np.array([session for session, _ in pairs], dtype=np.int64), minlength=data.num_sessions
    ).astype(np.float64)


def tool_errors(data: RunData) -> BoolArray:
    """A tool gave nothing back, or failed, [num_sessions]."""
    assert data.tools is not None
    return _sessions(data, data.tools.result_request[data.tools.result_failed])


def format_collapse(data: RunData) -> BoolArray:
    """A call was not understood, no JSON, of no such tool, or not after its schema."""
    assert data.tools is not None
    return _sessions(data, data.tools.call_request[data.tools.call_wrong])


def confirmatory_calls(data: RunData) -> BoolArray:
    """The final answer stood already in what the model wrote before a call that runs code."""
    tools = data.tools
    assert tools is not None
    assert tools.text is not None
    found = np.zeros(data.num_sessions, dtype=np.bool_)
    final = _final_answers(data)
    for request, name in zip(tools.call_request.tolist(), tools.call_name, strict=True):
        answer = final.get(int(data.session[request]), "")
        if answer and any(word in name.lower() for word in _CODE):
            found[data.session[request]] |= _stands_in(answer, tools.text[request])
    return found


def _final_answers(data: RunData) -> dict[int, str]:
    """Session -> what the grader took for the answer of its last graded turn."""
    assert data.tools is not None
    order = np.argsort(data.turn, kind="stable")
    return {int(data.session[i]): data.tools.answer[i] for i in order if data.tools.answer[i]}


def _stands_in(answer: str, text: str) -> bool:
    """As a whole word: 7 does not stand in 17."""
    at = text.find(answer)
    while at >= 0:
        before, after = text[at - 1 : at], text[at + len(answer) : at + len(answer) + 1]
        if not before.isalnum() and not after.isalnum():
            return True
        at = text.find(answer, at + 1)
    return False


PATTERNS: Final = {
    "confirmatory_calls": (
        "Confirmatory tool use",
        confirmatory_calls,
        "a call that runs code although the answer given in the end stood already in what the "
        "model had written before it",
    ),
    "tool_mixing": ("Tool mixing", tool_mixing, "calls of more than one tool"),
    "toolset_mixing": (
        "Toolset mixing",
        toolset_mixing,
        "calls of more than one tool, those that search and visit the web taken for one",
    ),
    "tool_errors": (
        "Lack of tool priors",
        tool_errors,
        "a tool that gave nothing back or failed",
    ),
    "format_collapse": (
        "Tool-format collapse",
        format_collapse,
        "a call that was not understood, was no JSON, named no such tool or broke its schema",
    ),
}


def pattern_metrics(pte: PteOf, lacks_pte: str | None) -> tuple[Metric, ...]:
    """How often each pattern is seen, and how much more such sessions cost."""
    return tuple(
        metric
        for name, (title, found, words) in PATTERNS.items()
        for metric in _pattern(name, title, found, words, pte, lacks_pte)
    )


def _pattern(
    name: str,
    title: str,
    found: Callable[[RunData], BoolArray],
    words: str,
    pte: PteOf,
    lacks_pte: str | None,
) -> tuple[Metric, Metric]:
    def lacks(data: RunData) -> str | None:
        if data.tools is None:
            return "no tool was called"
        if name == "confirmatory_calls":
            if data.tools.text is None:
                return "what the model wrote was not kept (capture: text)"
            if not any(data.tools.answer):
                return "no answer was graded"
        return None

    def share(data: RunData) -> FloatArray:
        whole = data.once(_whole)
        num = int(np.count_nonzero(whole))
        return np.array([np.count_nonzero(found(data) & whole) / num if num else np.nan])

    def interval(data: RunData) -> Interval | None:
        whole = data.once(_whole)
        return wilson(int(np.count_nonzero(found(data) & whole)), int(np.count_nonzero(whole)))

    share.__doc__ = f"""Share of sessions with {words}. Over sessions whose every request ended
    well in the window. Interval: Wilson's. Source: PTE, arXiv:2604.05404, appendix E."""

    def rows(data: RunData) -> FloatArray:
        """(with it, their PTE, with no pattern, their PTE) of each session, [sessions, 4]."""
        cost = np.bincount(data.session, pte(data), minlength=data.num_sessions)
        shows, free = found(data), ~_any(data)
        each = np.stack((shows, shows * cost, free, free * cost), axis=1)[data.once(_whole)]
        return each.astype(np.float64)

    def ratio(totals: FloatArray) -> FloatArray:
        with np.errstate(invalid="ignore", divide="ignore"):
            times: FloatArray = (totals[:, 1] / totals[:, 0]) / (totals[:, 3] / totals[:, 2])
        return times

    def multiplier(data: RunData) -> FloatArray:
        return ratio(rows(data).sum(axis=0, keepdims=True))

    def multiplier_interval(data: RunData) -> Interval | None:
        each = rows(data)
        if min(each[:, 0].sum(), each[:, 2].sum()) < MIN_SESSIONS:
            return None
        return percentile_interval(ratio(resampled(each)))

    multiplier.__doc__ = f"""Mean `pte_session` of sessions with {words} / that of sessions with no
    pattern at all. Interval: bootstrap over sessions. Source: PTE, arXiv:2604.05404, table 7."""

    def lacks_both(data: RunData) -> str | None:
        return lacks_pte or lacks(data)

    return (
        Metric(name, title, "share", "lower", "run", share, interval=interval, lacks=lacks),
        Metric(f"{name}_cost", f"{title}: times the PTE", "", "lower", "run", multiplier,
               interval=multiplier_interval, lacks=lacks_both),
    )  # fmt: skip


def _whole(data: RunData) -> BoolArray:
    """Sessions whose every request ended well in the window, [num_sessions]."""
    outside = ~(data.in_window & data.ok)
    found: BoolArray = np.bincount(data.session[outside], minlength=data.num_sessions) == 0
    return found


def _any(data: RunData) -> BoolArray:
    """Sessions that show any pattern that can be told, [num_sessions]."""
    found = tool_mixing(data) | tool_errors(data) | format_collapse(data)
    if data.tools is not None and data.tools.text is not None:
        found |= confirmatory_calls(data)
    return found
