"""The test vectors V1 to V28 of the papers: each is a test here that bears its number."""

import re
from pathlib import Path


def test_every_vector_has_a_test_named_after_its_paper() -> None:
    texts = [path.read_text(encoding="utf-8") for path in Path(__file__).parent.glob("test_*.py")]
    found = {int(n) for text in texts for n in re.findall(r"^def test_v(\d+)_[a-z]", text, re.M)}
    assert found == set(range(1, 29))
