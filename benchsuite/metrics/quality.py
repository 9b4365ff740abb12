"""Is an answer right? Functions of the answer's text and what was expected.

The graders are those of lm-evaluation-harness in spirit (GSM8K's `####`, "the answer is"), each
stated in full in its docstring.
"""

import re
from collections.abc import Callable
from decimal import Decimal
from typing import Final

from benchsuite.errors import ScenarioError
from benchsuite.tools.sandbox import run_python

_NUMBER: Final = re.compile(r"[-+]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?|[-+]?\.\d+")
_BLOCK: Final = re.compile(r"```(?:[Pp]ython|py)?[^\S\n]*\n(.*?)```", re.DOTALL)
_ANNOUNCED: Final = re.compile(
    r"(?:\banswer\s*(?:is|:|=)?|\\boxed|####)[\s*:({$]*(?:\\text\{)?([A-J])(?![A-Za-z])"
)
_ALONE: Final = re.compile(r"[\s*(]*([A-J])[\s*).:]*(?:$|(?<=[).:])\s.*)", re.DOTALL)
_BRACKETED: Final = re.compile(r"\(([A-J])\)")


def grade(grader: str, answer: str, expected: str) -> bool:
    """Whether `answer`, the visible text of a response, is right by the grader of that name."""
    return GRADERS[grader](answer, expected)


def answer_of(grader: str, text: str) -> str:
    """What `grader` takes for the answer, for votes among samples: a number, a letter, or, where
    it judges the whole text, that."""
    if grader == "number":
        found = _final_number(text)
        return "" if found is None else str(found.normalize())
    if grader == "choice":
        return _letter(text) or ""
    return _plain(text)


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


def _math(answer: str, expected: str) -> bool:
    """The same in mathematics: 1/2 is 0.5, and x + 1 is 1 + x. As math-verify reads the last
    \\boxed{}, formula or number of the answer; `expected` may be LaTeX without dollars. Needs the
    extra `grading`."""
    try:
        from math_verify import parse, verify
    except ImportError as error:
        raise ScenarioError(
            'grader math needs math-verify: pip install "benchsuite[grading]"'
        ) from error
    gold = parse(expected if "$" in expected else f"${expected}$", parsing_timeout=None)
    return bool(verify(gold, parse(answer, parsing_timeout=None), timeout_seconds=None))


def _code(answer: str, expected: str) -> bool:
    """The Python of the answer passes the tests. `expected` is a program with {code} where the
    code belongs; the code is the last ```-block, or the whole answer. It runs in a process of its
    own with limits (10 s, 512 MiB) and is right if that ends with 0, as HumanEval has it. It is no
    jail."""
    blocks = _BLOCK.findall(answer)
    code = blocks[-1] if blocks else answer
    return run_python(expected.replace("{code}", code)).exit_code == 0


GRADERS: Final[dict[str, Callable[[str, str], bool]]] = {
    "exact": _exact,
    "number": _number,
    "choice": _choice,
    "contains": _contains,
    "math": _math,
    "code": _code,
}
