"""The first scenario for somebody's own server: a few answers become a commented YAML file.

Pure but for `models_of` and `tokens_for_one`, which ask the server what it serves and how it
counts, and `recording_of`, which looks into a trace. The texts hold no number without a word on
where it comes from.
"""

import asyncio
import os
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

import msgspec
from msgspec import Struct

from benchsuite.endpoints import control
from benchsuite.endpoints.openai_chat import OpenAIChat
from benchsuite.errors import EndpointError, ScenarioError
from benchsuite.fitting.reading import guessed
from benchsuite.scenario import load
from benchsuite.spec import seconds
from benchsuite.streams import rng
from benchsuite.workloads import conversion, tokenizer
from benchsuite.workloads.formats.base import TraceRow

Kind = Literal["chat", "agents", "rag", "reasoning", "images", "replay"]
ASK_S: Final = 5.0  # for the list of models
SAMPLE_TOKENS: Final = 256  # of a text that the server counts; its chat template adds a few
USED: Final = 0.75  # of a context: the server counts with another tokenizer and a chat template


class Served(Struct, frozen=True):
    """A model as `/v1/models` lists it."""

    id: str
    max_model_len: int | None = None  # its context, where the server tells (vLLM does)


class Recording(NamedTuple):
    """A trace to be replayed."""

    path: Path
    format: str
    has_times: bool


class Draft(NamedTuple):
    """What the user said. Times are texts as they stand in the file, such as `500ms`."""

    url: str
    model: str
    kind: Kind
    rate: float | None  # sessions per second, Poisson; None with no concurrency: a trace's times
    concurrency: int | None  # sessions at once, in a closed loop
    duration: str
    ttft: str
    tpot: str
    api_key_env: str | None = None  # the NAME of the variable that holds the key
    context_tokens: int | None = None
    tokens_for_one: float = 1.0  # of the server's tokens, to one of the bundled tokenizer's
    data: Path | None = None  # questions, or the trace
    recording: Recording | None = None

    @property
    def room(self) -> int | None:
        """The context in tokens of the bundled tokenizer. Up to what USED leaves, nobody looks."""
        if self.context_tokens is None or self.tokens_for_one * USED <= 1:
            return self.context_tokens
        return int(self.context_tokens / self.tokens_for_one)


class _Lengths(NamedTuple):
    """Of one request, in tokens: medians, and 99th percentiles or (in a loop) what turns add."""

    prompt: int
    prompt_p99: int
    output: int
    output_p99: int
    prefix: int = 0
    result: int = 0  # of a tool, at most
    turns: int = 1  # at most

    @property
    def most(self) -> int:
        """The longest context that can come of it."""
        first = self.prefix + self.prompt_p99 + self.output_p99
        return first + (self.turns - 1) * (self.output_p99 + self.result)

    def within(self, context: int | None) -> "_Lengths":
        """The same shape, shrunk until it fits."""
        if context is None or self.most <= context * USED:
            return self
        share = context * USED / self.most
        short = [int(value * share) for value in self[:6]]
        for median in (0, 2):  # p99 above the median, both at least one
            short[median] = max(short[median], 1)
            short[median + 1] = max(short[median + 1], short[median] + 1)
        fitting = self._replace(**dict(zip(self._fields[:6], short, strict=True)))
        if fitting.most > context * USED:
            raise ScenarioError(f"a context of {context} tokens is too short for this workload")
        return fitting


class _Offer(NamedTuple):
    """A kind of workload: its question, where its numbers are from, what is promised by default."""

    question: str
    source: str
    lengths: _Lengths
    ttft: str
    tpot: str


OFFERS: Final[dict[Kind, _Offer]] = {
    "chat": _Offer(
        "What latency do chat users see?",
        "Lengths: medians and 99th percentiles of the Azure LLM trace 2023, conversation.",
        _Lengths(1020, 4142, 129, 601),
        "500ms",
        "50ms",
    ),
    "agents": _Offer(
        "What does a turn cost agents whose tools take their time?",
        "Turns, lengths and tool times are a guess at a coding agent's: put your own in place.",
        _Lengths(300, 1200, 80, 320, prefix=1500, result=500, turns=6),
        "1s",
        "50ms",
    ),
    "rag": _Offer(
        "How long do users wait when long passages stand before a short question?",
        "Prompts are about as long as DistServe's LongBench sample (means: 1738 and 91 tokens);\n"
        "# the shared system prompt and the spread are a guess: put your own in their place.",
        _Lengths(1600, 4000, 80, 240, prefix=400),
        "2s",
        "50ms",
    ),
    "reasoning": _Offer(
        "How long do users wait for an answer that is thought about first?",
        "Short prompts, long outputs; the lengths are a guess: put your own in their place.",
        _Lengths(200, 800, 1500, 6000),
        "1s",
        "50ms",
    ),
    "images": _Offer(
        "What do images cost on the way to the first token?",
        "Two images of 787 x 444 a request, a cell of the grid of arXiv:2501.05460.\n"
        "# Lengths are a guess: put your own in their place.",
        _Lengths(64, 256, 64, 256),
        "2s",
        "50ms",
    ),
    "replay": _Offer(
        "Does the server keep up with what was recorded?",
        "Times, lengths and shared prefixes are the trace's; texts are made up where it has none.",
        _Lengths(1, 2, 1, 2),
        "1s",
        "50ms",
    ),
}


def models_of(url: str, api_key_env: str | None) -> tuple[Served, ...]:
    """What the server says it serves. Raises EndpointError: nobody there, no such list, refused."""
    server = server_of(url, "unknown", api_key_env)
    at = server.resource("/models")
    asked = control.get(at, server.request_headers(), server.tls(), ASK_S)
    try:
        answer = asyncio.run(asked)
    except (OSError, control.NotHttpError) as error:
        reason = str(error) or f"no answer within {ASK_S:g} s"
        raise EndpointError(f"{at}: {reason}") from error
    if answer.status != 200:
        raise EndpointError(f"{at}: answered {answer.status}")
    try:
        return msgspec.json.decode(answer.body, type=_Listed).data
    except msgspec.DecodeError as error:
        raise EndpointError(f"{at}: no list of models: {error}") from error


def tokens_for_one(url: str, model: str, api_key_env: str | None) -> float:
    """How many of its tokens the server counts for one of the bundled tokenizer's, by the usage
    that it tells of one short request; 1 where it tells none. A byte is a token to some."""
    words = tokenizer.load("bundled").text(SAMPLE_TOKENS, rng(0, "init"))
    server = server_of(url, model, api_key_env)
    message = {"role": "user", "content": words.text}
    body = {"model": model, "messages": [message], "max_tokens": 1}
    asked = control.post(
        server.resource("/chat/completions"),
        server.request_headers(),
        msgspec.json.encode(body),
        server.tls(),
        ASK_S,
    )
    try:
        answer = msgspec.json.decode(asyncio.run(asked).body, type=_Answered)
    except (OSError, control.NotHttpError, msgspec.DecodeError):
        return 1.0  # it lists models, and answers otherwise: the run will say how
    return answer.usage.prompt_tokens / words.num_tokens


class _Usage(Struct):
    prompt_tokens: int


class _Answered(Struct):
    usage: _Usage


class _Listed(Struct):
    data: tuple[Served, ...]


def server_of(url: str, model: str, api_key_env: str | None) -> OpenAIChat:
    """Raises ScenarioError for what no scenario may hold."""
    key = None if api_key_env is None else f"${{env:{api_key_env}}}"
    try:
        return OpenAIChat(url=url, model=model, api_key=key)
    except ValueError as error:
        raise ScenarioError(f"--{error}") from error


def recording_of(path: Path, format_name: str | None) -> Recording:
    """Raises ScenarioError (TraceError) if the file cannot be read in that or any format."""
    source = guessed(path) if format_name is None else conversion.source(format_name, str(path), {})
    if source is None:
        known = ", ".join(conversion.FORMATS)
        raise ScenarioError(f"--data {path}: no format reads it; name it with --format ({known})")
    first = next(iter(source.rows()), None)
    if not isinstance(first, TraceRow):
        raise first or ScenarioError(f"--data {path}: no rows")
    name = str(type(source).__struct_config__.tag)
    return Recording(path, name, first.arrival_s is not None)


def write(draft: Draft, path: Path) -> None:
    """Write the scenario to a new file. Raises ScenarioError, and leaves none, if it is not one."""
    written = text(draft, path.resolve().parent)
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(written)
    except FileExistsError:
        raise ScenarioError(f"{path}: is there already; name another file") from None
    try:
        load(path)
    except ScenarioError:
        path.unlink()
        raise


def text(draft: Draft, folder: Path) -> str:
    """The scenario as YAML, to stand in `folder`."""
    offer = OFFERS[draft.kind]
    lengths = offer.lengths.within(draft.room)
    shrunk = ""
    if lengths != offer.lengths:
        counts = (
            f",\n# of which the server counts {draft.tokens_for_one:.1f} for one of those below."
            if draft.room != draft.context_tokens
            else "."
        )
        shrunk = (
            f"\n# Shrunk in proportion to fit the model's context of {draft.context_tokens} tokens"
            f"{counts}"
        )
    source = "" if draft.kind == "reasoning" and draft.data else f"\n# {offer.source}{shrunk}"
    return f"""\
# {offer.question}
#{source}
# Check it: benchsuite check FILE. Run it: benchsuite run FILE. All keys: benchsuite schema.
name: {draft.kind}
seed: 1  # of everything random: the same seed sends the same load
{_endpoint(draft)}
{_workload(draft, lengths, folder)}
{_arrivals(draft)}
{_limits(draft)}
slo:  # what is promised; by class of request
  default:
    ttft: {draft.ttft}  # to the first token, from when the request was due
    tpot: {draft.tpot}  # per token after the first, mean of a request
# tokenizer: path/to/tokenizer.json  # of your model: prompts of exactly so many of its tokens
"""


def _endpoint(draft: Draft) -> str:
    key = f"\n  api_key: ${{env:{draft.api_key_env}}}" if draft.api_key_env else ""
    return (
        "endpoint:\n"
        "  type: openai_chat  # any server with /v1/chat/completions\n"
        f"  url: {_quoted(draft.url)}\n"
        f"  model: {_quoted(draft.model)}{key}"
    )


def _workload(draft: Draft, lengths: _Lengths, folder: Path) -> str:
    lines = ["workload:", *(f"  {line}" for line in _kind(draft, lengths, folder))]
    return "\n".join(lines)


def _kind(draft: Draft, lengths: _Lengths, folder: Path) -> list[str]:
    prompt, output = (
        f"{{type: log_normal, median: {median}, p99: {p99}, max: {p99}}}"
        for median, p99 in (lengths[:2], lengths[2:4])
    )
    exact = "ignore_eos: true  # answers exactly as long as drawn, where the server obeys"
    both = [f"prompt_tokens: {prompt}", f"output_tokens: {output}"]
    prefix = f"shared_prefix_tokens: {lengths.prefix}  # a system prompt, the same for all"
    if draft.kind == "agents":
        return [
            "type: tool_use",
            f"turns: {{type: uniform, low: 2, high: {lengths.turns}}}  # model calls of a session",
            prefix,
            *both,
            "tools:",
            "  - name: search",
            f"    result_tokens: {{type: uniform, low: 1, high: {max(lengths.result, 1)}}}",
            "    latency: {type: log_normal, median: 500ms, p99: 5s}",
            exact,
        ]
    if draft.kind == "images":
        shown = "images: {count: {type: fixed, value: 2}, sizes: [787x444]}  # each a new one"
        return ["type: multimodal", *both, shown]
    if draft.kind == "replay":
        assert draft.recording is not None
        trace = draft.recording
        source = f"{{type: {trace.format}, path: {_quoted(_beside(trace.path, folder))}}}"
        context = draft.room
        limits = [
            f"max_prompt_tokens: {max(context // 2, 1)}  # longer ones are clipped",
            f"max_output_tokens: {max(context // 4, 1)}",
        ] if context else []  # fmt: skip
        return ["type: trace", f"source: {source}", *limits]
    if draft.kind == "reasoning" and draft.data is not None:
        return [
            "type: questions",
            f"path: {_quoted(_beside(draft.data, folder))}  # JSONL: question, answer",
            "grader: contains  # or exact, number, choice, math, code",
            f"max_output_tokens: {lengths.output_p99}",
            "# effort: low  # of reasoning, where the server knows efforts",
        ]
    return ["type: synthetic", *([prefix] if lengths.prefix else []), *both, exact]


def _arrivals(draft: Draft) -> str:
    if draft.concurrency is not None:
        return (
            f"arrivals: {{type: closed_loop, concurrency: {draft.concurrency}}}"
            "  # the next begins when one ends: a slow server is asked less"
        )
    if draft.rate is not None:
        return (
            f"arrivals: {{type: poisson, rate: {draft.rate:g}}}"
            "  # begun per second, whether or not the server keeps up"
        )
    return "arrivals: {type: timestamps}  # when they came"


def _limits(draft: Draft) -> str:
    is_replayed = draft.rate is None and draft.concurrency is None
    warmup = "" if is_replayed else f"\n  warmup: {_tenth(draft.duration)}  # sent, not measured"
    drain = "\n  drain: 60s  # to wait for the last answers"
    return f"limits:\n  duration: {draft.duration}{warmup}{drain}"


def _tenth(duration: str) -> str:
    return f"{(seconds(duration) or 0.0) / 10:g}s"


def _beside(path: Path, folder: Path) -> str:
    """As short as it can be said from where the scenario stands."""
    return os.path.relpath(path.resolve(), folder)


def _quoted(value: Any) -> str:
    """A JSON string is a YAML string."""
    return msgspec.json.encode(str(value)).decode()
