"""Record: one request as it happened. Its fields are the columns of `requests.parquet`."""

from typing import Literal

from msgspec import Struct

from benchsuite.exchange import Numbers
from benchsuite.records.grades import Grade
from benchsuite.records.tool_events import JudgedCall
from benchsuite.tools.base import ToolResult

Status = Literal["ok", "error", "timeout", "cancelled"]


class Record(Struct, frozen=True, kw_only=True):
    """One request. Times are seconds from the start of the run on one monotonic clock.

    Lists run over chunks that carried generated tokens, in order of arrival. Chunks that came in
    one read share `chunk_read` and `chunk_s`; `chunk_tokens` says how many tokens each carried.
    """

    request_id: int
    session_id: int
    turn: int  # position in the session, from 0
    worker: int
    slo_class: str
    priority: int | None = None  # as it was sent; None: none was
    tenant: str | None = None
    model: str | None = None  # None: the endpoint's
    due_s: float | None  # when it should have been sent; None in a closed loop
    sent_s: float | None  # when its first byte left; None: it never did
    connect_s: float  # of which was spent opening a connection; 0 when it was reused
    finished_s: float | None  # end of the response stream, or when it failed
    chunk_s: Numbers
    chunk_tokens: Numbers
    chunk_kind: Numbers  # endpoints.base.Kind
    chunk_read: Numbers  # number of the read that brought it
    chunk_lag_s: Numbers  # program's stamp - kernel's stamp; empty without the latter
    stamp_source: Literal["kernel", "user", "virtual"]
    prompt_tokens_asked: int
    prompt_tokens: int  # achieved, by our tokenizer, before the server's chat template
    server_prompt_tokens: int | None  # the server's usage
    cached_tokens: int | None
    output_tokens_asked: int  # of all items together
    must_reach_asked: bool  # the output was to be exactly that long (ignore_eos)
    output_tokens: int  # the sum of chunk_tokens
    reasoning_tokens: int | None
    tokens_from: Literal["usage", "running_usage", "tokenizer", "chunks"]
    finish_reason: str | None
    status: Status
    http_status: int | None
    error_class: str | None
    error: str | None
    correct: bool | None  # graded answer, where the request asked for one
    bytes_received: int
    output_text: str | None  # kept only when the scenario says `capture: text`
    reasoning_text: str | None = None  # likewise
    bytes_sent: int = 0  # of the body
    num_images: int = 0  # that the prompt showed, frames of videos included
    image_tokens: int | None = None  # the server's usage
    audio_tokens: int | None = None
    tool_calls: tuple[JudgedCall, ...] = ()  # of this answer
    tool_results: tuple[ToolResult, ...] = ()  # that this request brought: of the answer before
    group: int | None = None  # requests that ask the same: a rollout's samples, rounds of votes
    answer: str | None = None  # what the grader took for the answer
    num_items: int = 1  # answers asked for at once; their tokens are counted together
    num_samples: int = 1  # of these: to each question
    grades: tuple[Grade, ...] = ()  # instead of `correct` and `answer`, where it asked for several
    has_tail: bool = False  # the read of the last token brought more after it: its time is theirs
    server_queue_s: float | None = None  # by the server's own clock, where it tells: see STAGES
    server_encode_s: float | None = None
    server_prefill_s: float | None = None
    server_transfer_s: float | None = None
    server_decode_s: float | None = None
