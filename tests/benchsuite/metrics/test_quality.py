"""Graders, row by row."""

from typing import get_args

import pytest

from benchsuite.metrics.quality import GRADERS, answer_of, grade
from benchsuite.request import Grader

ROWS = [
    ("exact", "Paris", "Paris", True),
    ("exact", " Paris\n", "Paris", True),
    ("exact", "paris", "Paris", False),
    ("exact", "", "", True),
    ("contains", "It is  PARIS, of course.", "paris", True),
    ("contains", "the capital\nof France", "capital of france", True),
    ("contains", "Lyon", "paris", False),
    ("number", "#### 42", "42", True),
    ("number", "6 * 7 = 42. #### 42 apples for 3 children", "42", True),
    ("number", "#### 41, so #### 42", "42", True),
    ("number", "The total is $1,234.50.", "1234.5", True),
    ("number", "She has 18 eggs left, then 18.", "18", True),
    ("number", "18 of them; no, 19", "18", False),
    ("number", "-5", "5", False),
    ("number", "it falls by 5 to -5.0", "-5", True),
    ("number", "1,2,3", "3", True),
    ("number", "0.30", ".3", True),
    ("number", "no idea", "42", False),
    ("number", "", "42", False),
    ("number", "42", "none", False),
    ("number", "#### I cannot say, maybe", "42", False),
    ("choice", "B", "B", True),
    ("choice", "(B)", "B", True),
    ("choice", "B.", "(B)", True),
    ("choice", "**B**", "B", True),
    ("choice", "B) because it follows", "B", True),
    ("choice", "The answer is (C).", "C", True),
    ("choice", "Answer: C", "C", True),
    ("choice", "the answer is **C**", "C", True),
    ("choice", "A cat is an animal; the answer is B", "B", True),
    ("choice", "the answer is A. No: the answer is D", "D", True),
    ("choice", "so \\boxed{D}", "D", True),
    ("choice", "\\boxed{\\text{D}}", "D", True),
    ("choice", "Of (A) and (B), it must be (B)", "B", True),
    ("choice", "A cat sat on the mat", "A", False),
    ("choice", "I think so", "I", False),
    ("choice", "The answer is Apple", "A", False),
    ("choice", "", "A", False),
]


@pytest.mark.parametrize(("grader", "answer", "expected", "is_right"), ROWS)
def test_grade(grader, answer, expected, is_right):
    """Each row says whether the answer is right."""
    assert grade(grader, answer, expected) is is_right


def test_a_scenario_can_name_every_grader_and_no_other():
    """The names that a questions workload takes are those that can grade."""
    assert set(get_args(Grader)) == set(GRADERS)


@pytest.mark.parametrize(
    ("answer", "expected", "is_right"),
    [
        (r"So it is \boxed{\frac{1}{2}}.", "0.5", True),
        (r"Thus $x = 1 + y$, that is $\boxed{1+y}$", "y + 1", True),
        ("The answer is 42.", "42", True),
        (r"\boxed{3}", "4", False),
        ("no idea", "4", False),
    ],
)
def test_math(answer: str, expected: str, is_right: bool) -> None:
    """Equal as mathematics, not as text."""
    assert grade("math", answer, expected) is is_right


@pytest.mark.parametrize(
    ("answer", "is_right"),
    [
        ("Here:\n```python\ndef add(a, b):\n    return a + b\n```\nDone.", True),
        ("def add(a, b):\n    return a + b\n", True),
        ("```\ndef add(a, b):\n    return a - b\n```", False),
        ("I would add them.", False),
    ],
)
def test_code(answer: str, is_right: bool) -> None:
    """Tests that pass in a process of their own; the last block counts, or all of it."""
    assert grade("code", answer, "{code}\nassert add(2, 3) == 5") is is_right


def test_what_votes_are_about() -> None:
    """Answers that mean the same are the same vote."""
    assert answer_of("number", "so 1,000.0") == answer_of("number", "#### 1000")
    assert answer_of("choice", "The answer is (B)") == "B"
    assert answer_of("exact", " Paris\n") == answer_of("exact", "paris")
    assert answer_of("number", "none") == ""
