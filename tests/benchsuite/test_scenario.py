"""Scenarios as a whole: what loads, what is written out, what an editor is told."""

import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import msgspec
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from msgspec import Meta, Struct

from benchsuite.arrivals.closed_loop import ClosedLoop
from benchsuite.arrivals.constant import Constant
from benchsuite.arrivals.gamma import Gamma
from benchsuite.arrivals.poisson import Poisson
from benchsuite.arrivals.ramp import Ramp, RatePoint
from benchsuite.arrivals.timestamps import Timestamps
from benchsuite.endpoints.openai_chat import OpenAIChat
from benchsuite.endpoints.openai_completions import OpenAICompletions
from benchsuite.endpoints.reference_engine import ReferenceEngine
from benchsuite.metrics.slo import Slo
from benchsuite.scenario import Limits, Scenario, dump, json_schema, load, save
from benchsuite.spec import seconds
from benchsuite.workloads.agent import Agent
from benchsuite.workloads.durations import FixedTime, LogNormalTime
from benchsuite.workloads.lengths import Empirical, Fixed, LogNormal
from benchsuite.workloads.mix import Mix, Part
from benchsuite.workloads.multimodal import Pictures, Recordings
from benchsuite.workloads.questions import Questions
from benchsuite.workloads.synthetic import Synthetic
from benchsuite.workloads.tools import Python, Stub
from reference_engine.config import EngineConfig
from reference_engine.executors import Roofline
from reference_engine.specs import DEVICES

BUNDLED = sorted((Path(__file__).parents[2] / "scenarios").glob("*.yaml"))
CONTRACT = """\
name: mock-64
seed: 1
endpoint: {type: openai_chat, url: "http://127.0.0.1:18080", model: mock-model}
workload:
  type: synthetic
  prompt_tokens: {type: fixed, value: 64}
  output_tokens: {type: fixed, value: 100}
arrivals: {type: closed_loop, concurrency: 64}     # or {type: poisson, rate: 8}, ...
limits: {requests: 640}                            # and/or duration: 60s, warmup: 5s
slo: {default: {ttft: 500ms, tpot: 50ms}}
"""


def written(folder: Path, text: str, name: str = "s.yaml") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text(text)
    return path


def test_the_contract_loads_unchanged(tmp_path: Path) -> None:
    """The file that others rely on, key by key."""
    assert load(written(tmp_path, CONTRACT)) == Scenario(
        name="mock-64",
        seed=1,
        endpoint=OpenAIChat(url="http://127.0.0.1:18080", model="mock-model"),
        workload=Synthetic(prompt_tokens=Fixed(value=64), output_tokens=Fixed(value=100)),
        arrivals=ClosedLoop(concurrency=64),
        limits=Limits(requests=640),
        slo={"default": Slo(ttft=0.5, tpot=0.05)},
        tokenizer="bundled",
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{type: constant, rate: 8}", Constant(rate=8)),
        ("{type: poisson, rate: 8}", Poisson(rate=8)),
        ("{type: gamma, rate: 8}", Gamma(rate=8, burstiness=1)),
        ("{type: gamma, rate: 8, burstiness: 0.5}", Gamma(rate=8, burstiness=0.5)),
        ("{type: timestamps}", Timestamps(speed=1)),
        ("{type: timestamps, speed: 2}", Timestamps(speed=2)),
        ("{type: closed_loop, concurrency: 1}", ClosedLoop(concurrency=1)),
        (
            "{type: ramp, points: [{at: 0, rate: 1}, {at: 2m, rate: 1e1}]}",
            Ramp(points=(RatePoint(at=0, rate=1), RatePoint(at=120, rate=10))),
        ),
    ],
)
def test_every_arrival_process(tmp_path: Path, text: str, expected: object) -> None:
    """As the contract writes them, in the file or with --set."""
    path = written(tmp_path, CONTRACT)
    assert load(path, (f"arrivals={text}",)).arrivals == expected


def test_limits_of_every_kind(tmp_path: Path) -> None:
    """Requests, a duration, or both; durations as text or in seconds."""
    path = written(tmp_path, CONTRACT)
    limits = load(path, ("limits.duration=60s", "limits.warmup=5s", "limits.drain=500ms")).limits
    assert limits == Limits(requests=640, duration=60, warmup=5, drain=0.5)
    assert load(path, ("limits={duration: 60}",)).limits == Limits(duration=60)


@pytest.mark.parametrize("url", ["http://h:1", "http://h:1/", "http://h:1/v1", "http://h:1/v1/"])
def test_urls_with_and_without_v1(tmp_path: Path, url: str) -> None:
    """Both mean the same server; the scenario keeps what was written."""
    endpoint = load(written(tmp_path, CONTRACT), (f"endpoint.url={url}",)).endpoint
    assert isinstance(endpoint, OpenAIChat)
    assert endpoint.url == url
    assert endpoint.resource("/chat/completions") == "http://h:1/v1/chat/completions"


def test_another_endpoint_by_its_type(tmp_path: Path) -> None:
    """A type that has the same keys can be set alone; a whole section can be replaced."""
    path = written(tmp_path, CONTRACT)
    assert load(path, ("endpoint.type=openai_completions",)).endpoint == OpenAICompletions(
        url="http://127.0.0.1:18080", model="mock-model"
    )
    changed = load(path, ("endpoint={type: reference_engine, engine: {model: 15m}}",))
    assert changed.endpoint == ReferenceEngine(engine=EngineConfig(model="15m"))


def test_a_secret_stays_a_reference(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is written to the run folder has the variable's name, never its value."""
    monkeypatch.setenv("BENCH_KEY", "s3cret")
    overrides = ("endpoint.api_key=${env:BENCH_KEY}", "endpoint.headers.X-Key=k ${env:BENCH_KEY}")
    loaded = load(written(tmp_path, CONTRACT), overrides)
    assert isinstance(loaded.endpoint, OpenAIChat)
    assert loaded.endpoint.request_headers() == {
        "X-Key": "k s3cret",
        "Authorization": "Bearer s3cret",
    }
    save(loaded, tmp_path / "resolved.yaml")
    text = (tmp_path / "resolved.yaml").read_text()
    assert "s3cret" not in text
    assert text.count("${env:BENCH_KEY}") == 2
    monkeypatch.delenv("BENCH_KEY")  # a run folder is read where nobody has the key
    assert load(tmp_path / "resolved.yaml") == loaded


QUESTIONS = CONTRACT.replace(
    CONTRACT[CONTRACT.index("workload:") : CONTRACT.index("arrivals:")],
    "workload: {type: questions, path: data/q.jsonl, grader: number, max_output_tokens: 5}\n",
)


def test_paths_are_relative_to_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever the command is given; the resolved file names them in full."""
    path = written(tmp_path / "here", QUESTIONS)
    monkeypatch.chdir(written(tmp_path / "there", "").parent)
    for name in (path, Path(os.path.relpath(path))):
        workload = load(name).workload
        assert isinstance(workload, Questions)
        assert workload.path == str(tmp_path / "here" / "data" / "q.jsonl")
    save(load(path), tmp_path / "there" / "resolved.yaml")
    assert load(tmp_path / "there" / "resolved.yaml") == load(path)


def test_a_folder_that_was_moved(tmp_path: Path) -> None:
    """A scenario finds its data where it now lies; a resolved one names where it lay then, and
    still loads: a report needs the records alone."""
    data = written(tmp_path / "old" / "data", "{}", "q.jsonl")
    path = written(tmp_path / "old", QUESTIONS)
    save(load(path), tmp_path / "old" / "resolved.yaml")
    shutil.move(tmp_path / "old", tmp_path / "new")
    fresh = load(tmp_path / "new" / "s.yaml").workload
    resolved = load(tmp_path / "new" / "resolved.yaml").workload
    assert isinstance(fresh, Questions)
    assert isinstance(resolved, Questions)
    assert fresh.path == str(tmp_path / "new" / "data" / "q.jsonl")
    assert resolved.path == str(data)


def test_a_name_or_a_path(tmp_path: Path) -> None:
    """A name stays a name, even if a folder is called so; a path is one if it exists."""
    path = written(tmp_path, CONTRACT)
    (tmp_path / "bundled").mkdir()
    (tmp_path / "org").mkdir()
    written(tmp_path / "org", "{}", "tokenizer.json")
    for name in ("bundled", "gpt2", "org/model", "none.json"):
        assert load(path, (f"tokenizer={name}",)).tokenizer == name
    beside = load(path, ("tokenizer=org/tokenizer.json",)).tokenizer
    assert beside == str(tmp_path / "org" / "tokenizer.json")
    engine = load(path, ("endpoint={type: reference_engine, engine: {model: ./org}}",)).endpoint
    assert isinstance(engine, ReferenceEngine)
    assert engine.engine.model == str(tmp_path / "org")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(-1e9, 1e9) | st.text(),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(), inner, max_size=2),
    max_leaves=4,
)
RATES = st.floats(0.01, 1e4)
TOKENS = st.integers(1, 10**6)
BY_TYPE: dict[Any, st.SearchStrategy[Any]] = {  # where not every combination of fields is allowed
    Empirical: st.builds(Empirical, values=st.lists(TOKENS, min_size=1, max_size=3).map(tuple)),
    LogNormal: st.builds(LogNormal, median=st.floats(10, 1e4), sigma=st.floats(0.1, 2)),
    Ramp: st.builds(
        lambda gap_s, rate: Ramp(
            points=(RatePoint(at=0.0, rate=0.0), RatePoint(at=gap_s, rate=rate))
        ),
        st.floats(0.1, 1e4),
        RATES,
    ),
    Roofline: st.builds(Roofline, device=st.sampled_from(sorted(DEVICES))),
    LogNormalTime: st.builds(LogNormalTime, median=st.floats(0.1, 1), p99=st.floats(1, 10)),
    Agent: st.builds(  # tasks and tools are sections of their own
        Agent,
        tasks=st.just(Synthetic(prompt_tokens=Fixed(9), output_tokens=Fixed(9))),
        tools=st.just((Python(timeout=1.5), Stub("look", latency=FixedTime(0.5)))),
        max_turns=TOKENS,
    ),
    Mix: st.builds(
        lambda name, weight: Mix(
            parts={
                name: Part(
                    workload=Synthetic(prompt_tokens=Fixed(9), output_tokens=Fixed(9)),
                    weight=weight,
                )
            }
        ),
        st.sampled_from(["chat", "batch"]),
        RATES,
    ),
    Pictures: st.builds(Pictures, sizes=st.just(("787x444",)), noise=st.floats(0, 1)),
    Recordings: st.builds(Recordings, seconds=st.builds(FixedTime, value=st.floats(0, 9))),
    ("url", "env"): st.sampled_from(["http://h:1", "https://h/v1", "${env:BENCH_URL}"]),
    ("template", None): st.text().map(lambda text: text.replace("$", "") + "{question}"),
}


def values(kind: Any, name: str = "") -> st.SearchStrategy[Any]:
    """Any value that a field of type `kind` may have."""
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return _annotated(arguments[0], arguments[1], name)
    if origin in (Union, UnionType):
        return st.one_of([values(one, name) for one in arguments])
    if origin is Literal:
        return st.sampled_from(arguments)
    if origin is dict:
        min_size = 1 if name == "parts" else 0  # a mix has some
        return st.dictionaries(st.text(), values(arguments[1], name), min_size=min_size, max_size=2)
    if origin is tuple:
        return st.lists(values(arguments[0]), min_size=2, max_size=3).map(tuple)  # an mmpp has two
    if isinstance(kind, type) and issubclass(kind, Struct):
        return BY_TYPE[kind] if kind in BY_TYPE else sections(kind)
    plain: dict[Any, st.SearchStrategy[Any]] = {
        str: BY_TYPE.get((name, None), st.text().filter(lambda text: "${" not in text)),
        int: st.integers(0, 10**9),
        float: st.floats(0, 1e9),
        bool: st.booleans(),
        NoneType: st.none(),
        Any: JSON,
    }
    return plain[kind]


def _annotated(kind: Any, note: Meta, name: str) -> st.SearchStrategy[Any]:
    extra = note.extra or {}
    if "env" in extra:
        texts = st.sampled_from(["", "key", "${env:BENCH_KEY}", "a ${env:A} b ${env:B}"])
        return BY_TYPE.get((name, "env"), texts)
    if "path" in extra:
        return st.sampled_from(["bundled", "tiny", "8b"] if extra["path"] == "or name" else ["/q"])
    low = note.ge if note.ge is not None else note.gt
    high = next((limit for limit in (note.le, note.lt) if limit is not None), 10**6)
    if kind is int:
        return st.integers(int(low or 0), int(high))
    if kind is float:
        return st.floats(
            low, high, exclude_min=note.gt is not None, exclude_max=note.lt is not None
        )
    if get_origin(kind) is tuple and note.min_length:
        items = values(get_args(kind)[0])
        size = note.min_length
        return st.lists(items, min_size=size, max_size=size + 2).map(tuple)
    return values(kind, name)


@st.composite
def sections(draw: st.DrawFn, kind: type[Struct]) -> Struct:
    """A section with any of its fields left out, and the others as they come."""
    given_fields = {
        one.name: draw(values(one.type, one.name))
        for one in msgspec.structs.fields(kind)
        if one.required or draw(st.booleans())
    }
    try:
        return kind(**given_fields)
    except ValueError:  # fields that do not fit each other
        assume(False)
        raise


@settings(max_examples=15)
@given(scenario=sections(Scenario))
def test_saved_and_loaded(tmp_path_factory: pytest.TempPathFactory, scenario: Scenario) -> None:
    """Every section with every field: what is saved loads to an equal scenario, whose resolved
    file is the same to the byte, and both pass the schema."""
    path, again = (tmp_path_factory.getbasetemp() / name for name in ("one.yaml", "two.yaml"))
    save(scenario, path)
    loaded = load(path)
    assert loaded == scenario
    save(loaded, again)
    assert again.read_bytes() == path.read_bytes()
    assert not refusals(dump(scenario), SCHEMA)


def test_a_resolved_file_shows_every_default(tmp_path: Path) -> None:
    """Nothing that decides a run is hidden."""
    resolved = dump(load(written(tmp_path, CONTRACT)))
    assert set(resolved) == {one.encode_name for one in msgspec.structs.fields(Scenario)}
    assert resolved["endpoint"]["timeouts"] == {
        "connect": 10.0,
        "first_token": 300.0,
        "between_tokens": 60.0,
        "total": 900.0,
    }
    assert resolved["workload"]["type"] == "synthetic"


SCHEMA = json_schema()
KINDS: dict[str, Any] = {
    "object": dict,
    "array": (list, tuple),
    "string": str,
    "number": (int, float),
    "integer": int,
    "boolean": bool,
    "null": NoneType,
}
NOTES = {"title", "description", "default", "discriminator", "$schema", "$defs", "properties"}


def refusals(value: Any, schema: dict[str, Any], at: str = "") -> list[str]:
    """What JSON Schema (2020-12) has against `value`, for the keywords that we use."""
    if not (schema.keys() - NOTES):
        return []
    if "$ref" in schema:
        return refusals(value, SCHEMA["$defs"][schema["$ref"].removeprefix("#/$defs/")], at)
    if "anyOf" in schema:
        found = [refusals(value, one, at) for one in schema["anyOf"]]
        return [] if [] in found else min(found, key=len)
    checks: dict[str, Callable[[Any], bool]] = {
        "enum": lambda known: value in known,
        "type": lambda names: _is_a(value, names),
        "minimum": lambda low: isinstance(value, str) or value >= low,
        "exclusiveMinimum": lambda low: isinstance(value, str) or value > low,
        "exclusiveMaximum": lambda high: value < high,
        "maximum": lambda high: value <= high,
        "minLength": lambda low: len(value) >= low,
        "minItems": lambda low: len(value) >= low,
        "pattern": lambda text: not isinstance(value, str) or re.search(text, value) is not None,
        "minProperties": lambda least: len(value) >= least,
        "required": lambda names: value.keys() >= set(names),
        "additionalProperties": lambda other: (
            other is not False or value.keys() <= schema["properties"].keys()
        ),
        "items": lambda _: True,
    }
    assert schema.keys() <= checks.keys() | NOTES, schema.keys()
    if "type" in schema and not checks["type"](schema["type"]):
        return [f"{at}: type"]
    broken = [f"{at}: {key}" for key in checks if key in schema and not checks[key](schema[key])]
    if isinstance(value, list | tuple):
        inner = [(f"{at}[{i}]", one, schema.get("items", {})) for i, one in enumerate(value)]
    elif isinstance(value, dict):
        known, others = schema.get("properties", {}), schema.get("additionalProperties")
        default = others if isinstance(others, dict) else {}
        inner = [(f"{at}.{key}", one, known.get(key, default)) for key, one in value.items()]
    else:
        inner = []
    return broken + [refusal for where, one, its in inner for refusal in refusals(one, its, where)]


def _is_a(value: object, names: str | list[str]) -> bool:
    kinds = [KINDS[name] for name in ([names] if isinstance(names, str) else names)]
    if isinstance(value, bool):
        return bool in kinds
    return any(isinstance(value, kind) for kind in kinds)


def test_the_schema_knows_durations() -> None:
    """Seconds, or text with a unit; nothing else."""
    for duration in (2, 0.5, "500ms", "2 s"):
        assert refusals(plain(limits={"duration": duration}), SCHEMA) == []
    for wrong in ("5 sec", "2", -1, True):
        assert refusals(plain(limits={"duration": wrong}), SCHEMA)
    assert seconds("2 s") == 2


@pytest.mark.parametrize(
    "changes",
    [
        {"sed": 1},
        {"arrivals": {"type": "gama", "rate": 1}},
        {"arrivals": {"rate": 1}},
        {"arrivals": {"type": "poisson", "rate": 0}},
        {"name": 5},
        {"slo": {"default": {"tfft": 1}}},
        {"limits": {"requests": 0}},
    ],
)
def test_the_schema_refuses_too(changes: dict[str, Any]) -> None:
    """An editor underlines what `check` would refuse."""
    assert refusals(plain(**changes), SCHEMA)


def plain(**changes: Any) -> dict[str, Any]:
    """The contract as data, with changes at the top."""
    scenario = Scenario(
        name="mock",
        endpoint=OpenAIChat(url="http://h"),
        workload=Synthetic(prompt_tokens=Fixed(value=64), output_tokens=Fixed(value=100)),
        arrivals=Poisson(rate=1),
    )
    return dump(scenario) | changes


@pytest.mark.parametrize("path", BUNDLED, ids=lambda path: path.stem)
def test_bundled_scenarios(path: Path) -> None:
    """Each loads, passes the schema, is called like its file, and opens with its question."""
    loaded = load(path)
    assert not refusals(dump(loaded), SCHEMA)
    assert loaded.name == path.stem
    header = path.read_text().partition("\nname:")[0]
    assert all(line.startswith("#") for line in header.splitlines())
    assert "?" in header.splitlines()[0]
    assert re.search(r"\d+ s\b|second|minute", header), "how long it takes"
