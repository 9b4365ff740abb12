"""All answers to one request, side by side: `n` sequences, whole or as one stream of events."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from itertools import pairwise
from typing import Final

from reference_engine.sequence import Phase
from reference_engine.server.answer import Answer, Kind, Piece
from reference_engine.server.formats import Whole, Writer
from reference_engine.server.protocol.answers import (
    CompletionTokensDetails,
    PromptTokensDetails,
    Timings,
    Usage,
)
from reference_engine.server.protocol.errors import ApiError

_TIMING_OF: Final = {
    Phase.WAITING: "queue_ms",
    Phase.ENCODING: "encode_ms",
    Phase.PREFILLING: "prompt_ms",
    Phase.TRANSFERRING: "transfer_ms",
    Phase.DECODING: "predicted_ms",
}


class Choices:
    """The answers, numbered from 0, `n` to each prompt. Leaving early cancels them all; after
    `limit_s` seconds they are given up."""

    def __init__(self, answers: Sequence[Answer], n: int = 1, limit_s: float | None = None) -> None:
        self._answers, self._n = answers, n
        self._limit: asyncio.TimerHandle | None = None
        self._speaker: int | None = None
        if limit_s is not None:
            loop = asyncio.get_running_loop()
            self._limit = loop.call_later(limit_s, self._expire, limit_s)

    def _expire(self, limit_s: float) -> None:
        for answer in self._answers:
            answer.expire(limit_s)

    def cancel(self) -> None:
        """Free what still runs."""
        if self._limit is not None:
            self._limit.cancel()
        for answer in self._answers:
            answer.cancel()

    async def wholes(self) -> list[Whole]:
        """Each answer in one piece. Raises ApiError if the engine gave up on one."""
        try:
            return await asyncio.gather(*map(_whole, self._answers))
        finally:
            self.cancel()

    async def events(self, writer: Writer) -> AsyncGenerator[bytes, None]:
        """The stream. A choice's opening goes out with its first text, not before: whoever takes
        the first chunk for the first token measures the right thing."""
        openings = [writer.opening(index) for index in range(len(self._answers))]
        num_open = len(self._answers)
        async with aclosing(self._pieces()) as pieces:
            try:
                async for index, piece in pieces:
                    self._speaker = None
                    if piece is not None:
                        self._speaker = self._answers[index].sequence.id
                        event = writer.piece(index, piece, self._output_tokens)
                    else:
                        reason = finish_reason(self._answers[index])
                        event = writer.end(index, reason, self._output_tokens)
                        num_open -= 1
                        if not num_open:
                            event += writer.closing(self.usage(), self.timings())
                    yield openings[index] + event
                    openings[index] = b""
            except ApiError as error:
                self._speaker = None
                yield writer.failure(error)

    def speaker(self) -> int | None:
        """Id of the sequence whose text is in the last event; None if there is none in it."""
        return self._speaker

    async def gathered(self) -> bool:
        """Wait until all tokens are there, so that they can be told in one go; `at_s` then says
        when each could have been. False, at once, where several answers are told in turns, or
        where what is read may end the answer."""
        if len(self._answers) > 1 or not self._answers[0].is_read_to_its_end:
            return False
        sequence = self._answers[0].sequence
        if sequence.finish_reason is None:
            sequence.output_s = []
            sequence.end_waiter = asyncio.get_running_loop().create_future()
            await sequence.end_waiter
        return sequence.output_s is not None

    def at_once(self, writer: Writer) -> tuple[list[bytes], list[float]] | None:
        """All events, where the tokens were gathered, and when each could be told, in seconds;
        None where the answer has to be told event by event."""
        (answer,), sequence = self._answers, self._answers[0].sequence
        if not answer.is_text or sequence.output_s is None:
            return None
        texts, rest = answer.texts()
        opening = writer.opening(0)  # goes first: events may be numbered
        end_s = sequence.stamps_s[Phase.FINISHED]
        told = [(text, n) for n, text in enumerate(texts, 1) if text]
        told_s = [at_s for text, at_s in zip(texts, sequence.output_s, strict=True) if text]
        if rest:
            told.append((rest, len(texts)))
            told_s.append(end_s)
        events = writer.texts(0, [text for text, _ in told], [n for _, n in told])
        try:
            _raise_failure(answer)
            end = writer.end(0, finish_reason(answer), len(texts))
            events.append(end + writer.closing(self.usage(), self.timings()))
        except ApiError as error:
            opening = opening if events else b""
            events.append(writer.failure(error))
        events[0] = opening + events[0]
        return events, [*told_s, end_s]

    def at_s(self) -> float:
        """When the last event could be told, where the tokens were gathered."""
        answer = self._answers[0]
        times_s = answer.sequence.output_s
        if answer.has_ended or times_s is None:
            return answer.sequence.stamps_s[Phase.FINISHED]
        return times_s[answer.output_tokens - 1]

    def usage(self) -> Usage:
        """Tokens of all answers together; each prompt counts once."""
        asked = [answer.sequence for answer in self._answers[:: self._n]]
        prompt, output = sum(one.num_prompt_tokens for one in asked), self._output_tokens
        cached = sum(one.num_cached_tokens for one in asked)
        seen = [one.media for sequence in asked for one in sequence.media]
        details = PromptTokensDetails(
            cached,
            image_tokens=sum(one.num_tokens for one in seen if one.kind == "image"),
            audio_tokens=sum(one.num_tokens for one in seen if one.kind == "audio"),
        )
        usage = Usage(prompt, output, prompt + output, details)
        if any(answer.plan.reasoning_tokens for answer in self._answers):
            thoughts = sum(answer.reasoning_tokens for answer in self._answers)
            usage.completion_tokens_details = CompletionTokensDetails(thoughts)
        return usage

    def timings(self) -> Timings:
        """Of the first answer: from each phase it entered to the next; pauses count as decoding."""
        stamps = dict(self._answers[0].sequence.stamps_s)
        stamps.pop(Phase.SWAPPED, None)
        ordered = sorted(stamps.items(), key=lambda stamp: stamp[1])
        spans = {
            _TIMING_OF[phase]: (end_s - begun_s) * 1e3
            for (phase, begun_s), (_, end_s) in pairwise(ordered)
            if phase in _TIMING_OF
        }
        return Timings(**spans)

    @property
    def _output_tokens(self) -> int:
        if len(self._answers) == 1:  # asked at each piece
            return self._answers[0].output_tokens
        return sum([answer.output_tokens for answer in self._answers])

    def _pieces(self) -> AsyncGenerator[tuple[int, Piece | None], None]:
        """Pieces with the number of their choice; None when it has ended. Raises ApiError."""
        if len(self._answers) == 1:
            return _pieces(0, self._answers[0])
        return self._merged()

    async def _merged(self) -> AsyncGenerator[tuple[int, Piece | None], None]:
        queue: asyncio.Queue[tuple[int, Piece | None] | ApiError] = asyncio.Queue()

        async def read(index: int, answer: Answer) -> None:
            try:
                async for numbered in _pieces(index, answer):
                    queue.put_nowait(numbered)
            except ApiError as error:
                queue.put_nowait(error)

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(read(*one)) for one in enumerate(self._answers)]
            try:
                for _ in tasks:
                    while True:
                        item = await queue.get()
                        if isinstance(item, ApiError):
                            raise item
                        yield item
                        if item[1] is None:
                            break
            finally:
                for task in tasks:
                    task.cancel()


async def _pieces(index: int, answer: Answer) -> AsyncGenerator[tuple[int, Piece | None], None]:
    async for piece in answer.pieces():
        yield index, piece
    _raise_failure(answer)
    yield index, None


async def _whole(answer: Answer) -> Whole:
    pieces = [piece async for piece in answer.pieces()]
    _raise_failure(answer)
    texts = {kind: "".join([p.text for p in pieces if p.kind is kind]) for kind in Kind}
    call = next((piece.call for piece in pieces if piece.call is not None), None)
    return Whole(
        text=texts[Kind.TEXT],
        reasoning=texts[Kind.REASONING],
        call=call,
        arguments=texts[Kind.CALL],
        finish_reason=finish_reason(answer),
        tokens=tuple(token for piece in pieces for token in piece.tokens),
    )


def finish_reason(answer: Answer) -> str:
    """In OpenAI's words: a call that the model chose to make ends with `tool_calls`, one that the
    client named with `stop`."""
    if answer.has_called:
        return "stop" if answer.plan.is_forced else "tool_calls"
    return str(answer.finish_reason)


def _raise_failure(answer: Answer) -> None:
    """Raise ApiError if the engine gave up on the sequence."""
    if answer.finish_reason in ("error", "cancelled"):
        said = answer.sequence.error or "it was cancelled"
        problem = f"the engine could not finish this answer: {said}"
        if answer.is_late:
            raise ApiError(504, problem, code="timeout")
        if answer.sequence.is_guide_lost:  # it is the schema that this model cannot answer
            param = "tools" if answer.plan.functions else "response_format"
            raise ApiError(400, f"{param}: {problem}", param=param, code="unanswerable_schema")
        raise ApiError(500, problem, code="engine_error")
