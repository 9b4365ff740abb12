"""The command that writes a first scenario: init. It asks in a terminal, or takes flags."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from benchsuite.cli import completing
from benchsuite.cli.base import new_console
from benchsuite.errors import EndpointError, ScenarioError

if TYPE_CHECKING:
    from benchsuite.draft import Served

commands = typer.Typer()


@commands.command()
def init(
    out: Annotated[
        Path, typer.Argument(metavar="FILE", help="The scenario to write; a new file.")
    ] = Path("scenario.yaml"),
    url: Annotated[
        str | None, typer.Option("--url", help="Of the server, with or without /v1.")
    ] = None,
    model: Annotated[
        str | None, typer.Option("--model", help="Default: the one that the server lists.")
    ] = None,
    kind: Annotated[
        str | None,
        typer.Option(
            "--kind",
            help="chat, agents, rag, reasoning, images or replay.",
            autocompletion=completing.kinds,
        ),
    ] = None,
    rate: Annotated[
        float | None, typer.Option("--rate", min=1e-6, help="Sessions begun per second, Poisson.")
    ] = None,
    concurrency: Annotated[
        int | None,
        typer.Option("--concurrency", min=1, help="Sessions at once, instead of a rate."),
    ] = None,
    duration: Annotated[
        str | None, typer.Option("--duration", help="Such as 2m. Default: 60s.")
    ] = None,
    ttft: Annotated[
        str | None, typer.Option("--ttft", help="Promised time to the first token, such as 500ms.")
    ] = None,
    tpot: Annotated[
        str | None, typer.Option("--tpot", help="Promised time per further token, such as 50ms.")
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            "--data", metavar="FILE", help="The trace (replay), or questions (reasoning)."
        ),
    ] = None,
    format_name: Annotated[
        str | None,
        typer.Option(
            "--format",
            metavar="FORMAT",
            help="Of the trace. Default: the first that reads it.",
            autocompletion=completing.formats,
        ),
    ] = None,
    api_key_env: Annotated[
        str | None,
        typer.Option("--api-key-env", metavar="NAME", help="The variable that holds the key."),
    ] = None,
) -> None:
    """Write a first scenario for your own server, with a comment on every choice.

    In a terminal and without options it asks. Else what is missing is an error.
    """
    from benchsuite import draft

    given = (url, model, kind, rate, concurrency, duration, ttft, tpot, data, api_key_env)
    asks = sys.stdin.isatty() and not any(value is not None for value in given)
    if out.exists():
        raise ScenarioError(f"{out}: is there already; name another file")
    url = _needed(url, "--url", "Server's address", asks, default="http://localhost:8000")
    served, why = _models(url, api_key_env)
    if why is not None and asks and model is None and "answered 40" in why:
        api_key_env = typer.prompt("It wants a key. Name of the variable that holds it")
        served, why = _models(url, api_key_env)
    model = _model(model, served, why, asks)
    kind = _needed(kind, "--kind", f"Kind of load ({', '.join(draft.OFFERS)})", asks, "chat")
    if kind not in draft.OFFERS:
        raise ScenarioError(f"--kind {kind}: expected one of {', '.join(draft.OFFERS)}")
    if kind == "replay" or (kind == "reasoning" and asks and data is None):
        data = _data(data, kind, asks)
    if data is not None and kind not in ("replay", "reasoning"):
        raise ScenarioError(f"--data: only --kind replay and reasoning read a file, not {kind}")
    if data is not None and not data.is_file():
        raise ScenarioError(f"--data {data}: no such file")
    recording = None
    if kind == "replay":
        assert data is not None
        recording = draft.recording_of(data, format_name)
    if rate is not None and concurrency is not None:
        raise ScenarioError("--rate and --concurrency: give one of them")
    if rate is None and concurrency is None and not (recording and recording.has_times):
        rate, concurrency = _load(asks)
    offer = draft.OFFERS[kind]
    found = next((one for one in served if one.id == model), None)
    context = None if found is None else found.max_model_len
    draft.write(
        draft.Draft(
            url=url,
            model=model,
            kind=kind,
            rate=rate,
            concurrency=concurrency,
            duration=_time(duration, "--duration", "How long to send", asks, "60s"),
            ttft=_time(ttft, "--ttft", "Promised time to the first token", asks, offer.ttft),
            tpot=_time(tpot, "--tpot", "Promised time per further token", asks, offer.tpot),
            api_key_env=api_key_env,
            context_tokens=context,
            tokens_for_one=draft.tokens_for_one(url, model, api_key_env) if context else 1.0,
            data=data,
            recording=recording,
        ),
        out,
    )
    said = f"Wrote {out}. Next: benchsuite check {out}; benchsuite run {out}"
    new_console(stderr=True).print(said, highlight=False, soft_wrap=True, markup=False)


def _needed(value: Any, flag: str, question: str, asks: bool, default: str | None = None) -> Any:
    if value is None and not asks:
        raise ScenarioError(f"{flag} is missing (without options, in a terminal, init asks)")
    return typer.prompt(question, default=default) if value is None else value


def _models(url: str, api_key_env: str | None) -> "tuple[tuple[Served, ...], str | None]":
    """What the server serves; or nothing, and why."""
    from benchsuite import draft

    if api_key_env is not None and api_key_env not in os.environ:
        draft.server_of(url, "unknown", api_key_env)
        return (), f"the variable {api_key_env} is not set"
    try:
        return draft.models_of(url, api_key_env), None
    except EndpointError as error:
        return (), str(error)


def _model(model: str | None, served: "tuple[Served, ...]", why: str | None, asks: bool) -> str:
    names = [one.id for one in served]
    if model is not None:
        if names and model not in names:
            raise ScenarioError(f"--model {model}: the server lists {', '.join(names)}")
        return model
    if len(names) == 1:
        return names[0]
    known = f"the server lists {', '.join(names)}" if names else why or "the server lists none"
    if not asks:
        raise ScenarioError(f"--model is missing, and cannot be found: {known}")
    answer: str = typer.prompt(f"Model ({known})", default=names[0] if names else None)
    return answer


def _data(data: Path | None, kind: str, asks: bool) -> Path | None:
    if kind == "replay":
        return Path(_needed(data, "--data", "Trace file", asks))
    path = typer.prompt("Questions with answers, JSONL (empty: made-up text)", default="")
    return Path(path) if path else None


def _load(asks: bool) -> tuple[float | None, int | None]:
    if not asks:
        raise ScenarioError("--rate or --concurrency is missing")
    if typer.prompt("Load by rate or by concurrency", default="rate").startswith("c"):
        return None, typer.prompt("Sessions at once", default=8, type=int)
    return typer.prompt("Sessions begun per second", default=1.0, type=float), None


def _time(value: str | None, flag: str, question: str, asks: bool, default: str) -> str:
    """A duration as it is to be written; `default` where nothing was said."""
    from benchsuite.spec import seconds

    found: str = (
        typer.prompt(question, default=default) if value is None and asks else value or default
    )
    number = seconds(found)
    if not number:
        raise ScenarioError(f"{flag} {found}: expected a duration such as 500ms, 2s or 1m")
    return found.strip()
