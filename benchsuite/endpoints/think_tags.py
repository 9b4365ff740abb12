"""Thinking that a server left in the text, told apart from the answer by its tags.

Models write `<think>...</think>` (DeepSeek-R1, Qwen3 and their kin); some chat templates have put
the opening tag into the prompt, so only the closing one comes. Servers with a reasoning parser send
thinking as its own kind of delta, and then nothing is to be done.
"""

from typing import Final

from benchsuite.exchange import Chunks, Kind, Response

_OPEN: Final = "<think>"
_CLOSE: Final = "</think>"


def told_apart(response: Response) -> Response:
    """The same response with what was thought, and its tags, as reasoning.

    A chunk that holds the closing tag and text behind it becomes two of the same read, its tokens
    shared by length. Without a closing tag all is thought if it begins with the opening one: the
    answer never came. Of several answers (`items`) each is read so.
    """
    if response.items:
        response = response._replace(items=tuple(map(_answer_in, response.items)))
    columns = response.columns
    if Kind.REASONING in columns.kind:
        return response
    if columns.kind.count(Kind.CONTENT) == len(columns.kind):
        text = "".join(columns.text)
    else:
        pairs = zip(columns.kind, columns.text, strict=True)
        text = "".join(text for kind, text in pairs if kind == Kind.CONTENT)
    thought_until = _thought_until(text)
    if thought_until is None:
        return response
    split = _Split(columns)
    at = 0
    for i in range(len(columns.text)):
        piece = columns.text[i]
        if columns.kind[i] != Kind.CONTENT:
            split.add(i, Kind(columns.kind[i]), piece, columns.tokens[i])
            continue
        cut = min(max(thought_until - at, 0), len(piece))
        split.cut(i, cut)
        at += len(piece)
    return response._replace(columns=split.done())


def _thought_until(text: str) -> int | None:
    """Where the answer begins in `text`; None if it has no tags."""
    end = text.find(_CLOSE)
    if end >= 0:
        return end + len(_CLOSE)
    return len(text) if text.lstrip().startswith(_OPEN) else None


def _answer_in(text: str) -> str:
    return text[_thought_until(text) or 0 :]


class _Split:
    """Chunks, some of them cut in two."""

    def __init__(self, columns: Chunks) -> None:
        self._from = columns
        self._read: list[int] = []
        self._kind: list[Kind] = []
        self._text: list[str] = []
        self._tokens: list[int] = []

    def add(self, i: int, kind: Kind, text: str, tokens: int) -> None:
        self._read.append(self._from.read[i])
        self._kind.append(kind)
        self._text.append(text)
        self._tokens.append(tokens)

    def cut(self, i: int, at: int) -> None:
        """Chunk `i`: thought up to character `at`, said from there."""
        text, tokens = self._from.text[i], self._from.tokens[i]
        said = text[at:]
        if at == 0:
            self.add(i, Kind.CONTENT, text, tokens)
        elif not said.strip():  # nothing, or the line ends behind the tag
            self.add(i, Kind.REASONING, text, tokens)
        else:
            thought = round(tokens * at / len(text))
            self.add(i, Kind.REASONING, text[:at], thought)
            self.add(i, Kind.CONTENT, said, tokens - thought)

    def done(self) -> Chunks:
        return self._from._replace(
            read=self._read, kind=bytes(self._kind), text=self._text, tokens=self._tokens
        )
