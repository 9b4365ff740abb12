"""Is an answer right? Pure functions of the answer's text and what was expected.

The graders are those of lm-evaluation-harness in spirit (GSM8K's `####`, "the answer is"), each
stated in full in its docstring.
"""

import re
from collections.abc import Callable
from decimal import Decimal
from typing import Final

_NUMBER: Final = re.compile(r"[-+]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?|[-+]?\.\d+")
_ANNOUNCED: Final = re.compile(
    r"(?:\banswer\s*(?:is|:|=)?|\\boxed|####)[\s*:({$]*(?:\\text\{)?([A-J])(?![A-Za-z])"
)
_ALONE: Final = re.compile(r"[\s*(]*([A-J])[\s*).:]*(?:$|(?<=[).:])\s.*)", re.DOTALL)
_BRACKETED: Final = re.compile(r"\(([A-J])\)")


def grade(grader: str, answer: str, expected: str) -> bool:
    """Whether `answer`, the visible text of a response, is right by the grader of that name."""
    return GRADERS[grader](answer, expected)


def _exact(answer: str, expected: str) -> bool:
    """The same text; white space at both ends does not count."""
    return answer.strip() == expected.strip()


def _contains(answer: str, expected: str) -> bool:
    """`expected` stands somewhere in it; case and runs of white space do not count."""
    return _plain(expected) in _plain(answer)


def _number(answer: str, expected: str) -> bool:
    """The number after the last `####`, else the last number in it, equals the one expected.

    Thousands separators count for nothing: 1,234.50 equals 1234.5.
    """
    wanted, found = _last_number(expected), _final_number(answer)
    return wanted is not None and found == wanted


def _choice(answer: str, expected: str) -> bool:
    """The letter A to J that is announced last ("the answer is (B)", "Answer: B", \\boxed{B}).

    Without an announcement: the letter that the answer consists of or begins with ("B", "(B) It
    ..."), else the last letter in brackets.
    """
    letter = _letter(answer)
    return letter is not None and letter == expected.strip().strip("()").upper()


def _plain(text: str) -> str:
    return " ".join(text.casefold().split())


def _final_number(answer: str) -> Decimal | None:
    _, mark, after = answer.rpartition("####")
    first = _NUMBER.search(after) if mark else None
    return _decimal(first[0]) if first else _last_number(answer)


def _last_number(text: str) -> Decimal | None:
    found = _NUMBER.findall(text)
    return _decimal(found[-1]) if found else None


def _decimal(text: str) -> Decimal:
    return Decimal(text.replace(",", ""))


def _letter(answer: str) -> str | None:
    announced = re.findall(_ANNOUNCED, answer.replace("Answer", "answer"))
    if announced:
        return str(announced[-1])
    if alone := _ALONE.fullmatch(answer):
        return alone[1]
    bracketed = _BRACKETED.findall(answer)
    return str(bracketed[-1]) if bracketed else None


GRADERS: Final[dict[str, Callable[[str, str], bool]]] = {
    "exact": _exact,
    "number": _number,
    "choice": _choice,
    "contains": _contains,
}
