"""Every trace format: real slices or lines in its shape are read, and come back from the native
form as they were."""

import csv
import gzip
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchsuite.errors import ScenarioError, TraceError
from benchsuite.request import Message
from benchsuite.workloads import replay
from benchsuite.workloads.formats import (
    AIPerfDag,
    AIPerfMooncake,
    Apex,
    Azure,
    Bailian,
    Bfcl,
    BurstGPT,
    HuggingFace,
    Jsonl,
    MLCommonsAgentic,
    Mooncake,
    OpenHands,
    Otel,
    ShareGPT,
    SweAgent,
    TauBench,
    TimedTrace,
    ToolBench,
    TraceFormat,
    TraceLab,
    VllmCustom,
    Weka,
)
from benchsuite.workloads.formats.base import TraceRow
from benchsuite.workloads.formats.jsonl import lines

DATA = Path(__file__).parents[3] / "data"
SCENARIOS = Path(__file__).parents[4] / "scenarios" / "data"

WEKA = Weka(path=str(SCENARIOS / "weka_5.jsonl.gz"))
TAU = TauBench(
    path=str(SCENARIOS / "tau_bench_airline_6.jsonl.gz"),
    tools=str(SCENARIOS / "tau_bench_airline_tools.json.gz"),
)
TAU2 = TauBench(path=str(DATA / "tau2_bench.jsonl.gz"), tools=str(DATA / "tau2_bench_tools.json"))
MLCOMMONS = MLCommonsAgentic(path=str(DATA / "mlcommons_agentic.jsonl.gz"))
SWE = SweAgent(path=str(DATA / "swe_agent.jsonl.gz"))
OPENHANDS = OpenHands(path=str(DATA / "openhands.jsonl.gz"))
TOOLBENCH = ToolBench(path=str(DATA / "toolbench.jsonl.gz"))
BFCL = Bfcl(path=str(DATA / "bfcl.jsonl.gz"), functions=str(DATA / "bfcl_functions.json.gz"))
REAL = [
    Azure(path=str(DATA / "azure_2023_conv.csv")),
    Mooncake(path=str(DATA / "mooncake.jsonl")),
    Jsonl(path=str(DATA / "native.jsonl")),
    ShareGPT(path=str(DATA / "sharegpt.jsonl")),
    WEKA,
    TAU,
    TAU2,
    MLCOMMONS,
    SWE,
    OPENHANDS,
    TOOLBENCH,
    BFCL,
]


def read(source: TraceFormat) -> list[TraceRow]:
    rows = list(source.rows())
    assert not [row for row in rows if isinstance(row, TraceError)]
    return rows  # type: ignore[return-value]


def errors(source: TraceFormat) -> list[str]:
    return [str(row) for row in source.rows() if isinstance(row, TraceError)]


def written(folder: Path, *rows: object, name: str = "trace.jsonl") -> str:
    path = folder / name
    path.write_text("\n".join(r if isinstance(r, str) else json.dumps(r) for r in rows))
    return str(path)


def assert_comes_back(source: TraceFormat, folder: Path) -> None:
    rows = read(source)
    native = folder / "native.jsonl"
    native.write_bytes(b"".join(lines(rows, source.block_tokens)))
    back = read(Jsonl(path=str(native)))
    assert list(lines(back, 1)) == native.read_bytes().splitlines(keepends=True)
    assert len(back) == len(rows)
    for row, again in zip(rows, back, strict=True):
        for field in set(TraceRow.__struct_fields__) - {"line", "block_tokens"}:
            assert getattr(again, field) == getattr(row, field), field
        if row.hash_ids:
            assert again.block_tokens == (row.block_tokens or source.block_tokens)
    sessions, problems = replay.group(source.path, rows)
    assert problems == []
    again_sessions, _ = replay.group(str(native), back)
    assert [one.after for one in sessions] == [one.after for one in again_sessions]
    assert [one.start_s for one in sessions] == [one.start_s for one in again_sessions]


@pytest.mark.parametrize("source", REAL, ids=lambda source: type(source).__name__)
def test_real_files_come_back_from_the_native_form(source: TraceFormat, tmp_path: Path) -> None:
    """Nothing that was read is lost or changed by writing it down."""
    assert_comes_back(source, tmp_path)


def test_weka_sub_agents_fork_and_join() -> None:
    """Both begin when the request before them has ended, and run side by side; the next request
    waits for the last of each, 28.99 s after the later one's recorded end."""
    rows = {row.id: row for row in read(WEKA) if row.session_id == "trace_0291"}
    assert len(rows) == 32
    assert rows["16.0"].after == rows["17.0"].after == (15,)
    assert rows["16.1"].after == ("16.0",)
    assert rows[18].after == (15, "16.4", "17.6")
    assert rows["16.0"].agent != rows["17.0"].agent
    assert rows["16.0"].gap_s == pytest.approx(1148.013 - 46.656 - 1085.0 - 15.64)
    assert rows[1].gap_s == pytest.approx(19.0 - 10.02)
    assert rows[1].outcome is not None
    assert rows[1].outcome.e2e_s == 7.31
    assert rows[0].extra is not None
    assert rows[0].extra["tool_tokens"] > 0
    assert {row.hash_scope for row in rows.values()} == {"session"}


def test_weka_reads_hash_ids_as_upstream_writes_them(tmp_path: Path) -> None:
    """A plain list, one conversation a file, in a folder; what does not fit says where."""
    request = {"t": 0.0, "type": "n", "model": "m", "in": 130, "out": 3, "hash_ids": [1, 2]}
    upstream = {"id": "a", "block_size": 64, "requests": [request], "hash_id_scope": "local"}
    (tmp_path / "trace_1.json").write_text(json.dumps(upstream, indent=1))
    (row,) = read(Weka(path=str(tmp_path)))
    assert (row.prompt_tokens, row.hash_ids, row.block_tokens) == (130, (1, 2), 64)
    request["hash_ids"] = [1]
    (tmp_path / "trace_2.json").write_text(json.dumps(upstream))
    (error,) = errors(Weka(path=str(tmp_path)))
    assert "requests[0]: hash_ids: expected 3 for 130 tokens in blocks of 64, found 1" in error


def test_each_answer_of_a_trajectory_is_a_request() -> None:
    """What was said before it is its prompt, and the recorded answer is what goes on from there."""
    rows = [row for row in read(TAU) if row.session_id == read(TAU)[0].session_id]
    first, second = rows[:2]
    assert first.messages is not None
    assert [message.role for message in first.messages] == ["system", "user"]
    assert first.tools is not None
    assert len(first.tools) == 5
    assert second.new_messages is not None
    assert [message.role for message in second.new_messages] in (["tool"], ["user"])
    assert first.reply is not None
    assert first.reply.role == "assistant"
    assert {row.gap_s for row in rows[1:]} == {0.0}
    assert first.extra is not None
    assert {"reward", "info", "task_id", "trial"} <= first.extra.keys()


def test_tool_times_are_gaps() -> None:
    """MLCommons' delays, SWE-agent's execution times, OpenHands' time stamps."""
    assert read(MLCOMMONS)[1].gap_s == 0.36833
    (steps,) = (json.loads(line) for line in _unpacked("swe_agent.jsonl.gz"))
    times = [step["execution_time"] for step in steps["trajectory"]]
    assert [row.gap_s for row in read(SWE)[1:]] == times[:-1]
    gaps_s = [row.gap_s for row in read(OPENHANDS)]
    assert gaps_s[0] is None
    assert all(gap_s is not None and 0 < gap_s < 60 for gap_s in gaps_s[1:])


def test_an_answer_that_swe_agents_history_ends_before_is_the_trajectorys(tmp_path: Path) -> None:
    """A last step that submits; where steps and answers do not belong together, times are 0."""
    said = [{"role": "user", "content": "Fix"}, {"role": "assistant", "content": "ls"}]
    history = [*said, {"role": "tool", "content": "a.py"}]
    steps = [{"response": "ls", "execution_time": 0.25}, {"response": "Done", "thought": "!"}]
    traj = {"history": history, "trajectory": steps}
    first, last = read(SweAgent(path=written(tmp_path, traj)))
    assert (last.reply, last.gap_s) == (Message("assistant", "Done"), 0.25)
    assert last.new_messages == (Message("tool", "a.py"),)
    assert first.extra == {"trajectory": steps}
    for other in ({"history": said}, {"trajectory": [{"response": "cat"}, steps[1]]}):
        (row,) = read(SweAgent(path=written(tmp_path, traj | other)))
        assert row.reply == Message("assistant", "ls")


def test_what_asks_nothing_is_kept_beside(tmp_path: Path) -> None:
    """A tau2-bench header, OpenHands' look-ups, BFCL's own types, WEKA's idle sub-agents."""
    first, *later = read(TAU2)
    assert first.extra is not None
    assert first.extra["header"]["info"]
    assert not any("header" in (row.extra or {}) for row in later)
    (history,) = (json.loads(line)["history"] for line in _unpacked("openhands.jsonl.gz"))
    recalls = [e for e in history if "recall" in (e.get("action"), e.get("observation"))]
    extra = read(OPENHANDS)[0].extra
    assert extra is not None
    assert extra.get("recalls", []) == recalls
    kinds = {"x": {"type": "tuple"}, "y": {"type": "any"}}
    function = {"name": "f", "parameters": {"type": "dict", "properties": kinds}}
    question = {"id": "q", "question": [[{"role": "user", "content": "?"}]], "function": [function]}
    (row,) = read(Bfcl(path=written(tmp_path, question)))
    assert row.tools is not None
    assert row.tools[0].parameters["properties"] == {"x": {"type": "array"}, "y": {}}
    assert row.extra == {"function": [function]}
    asked = {"t": 1.0, "type": "n", "in": 1, "out": 1, "hash_ids": [1], "new": "field"}
    idle = {"t": 0.5, "type": "subagent", "agent_id": "a", "requests": []}
    (row,) = read(Weka(path=written(tmp_path, {"id": "w", "requests": [idle, asked]})))
    told = {key: value for key, value in idle.items() if key != "requests"}
    assert row.extra == {"subagent": told, "t": 1.0, "type": "n", "new": "field"}


def test_toolbench_says_which_search_found_no_answer(tmp_path: Path) -> None:
    """Such a file has a query and functions, and no conversation."""
    (problem,) = errors(ToolBench(path=written(tmp_path, {"query": "?", "train_messages": None})))
    assert problem.endswith(":1: train_messages: null: no answer was found, so none was asked for")


def test_reasoning_and_tool_calls_are_kept() -> None:
    """With the ids that their answers name."""
    first, second, *_ = read(MLCOMMONS)
    assert first.reply is not None
    assert first.reply.reasoning is not None
    (call,) = first.reply.tool_calls
    assert call.name == "bash"
    assert second.new_messages is not None
    assert second.new_messages[0].tool_call_id == call.id


def test_a_greeting_is_no_answer_and_the_policy_is_the_system_prompt() -> None:
    """tau2-bench: the agent's first words answer nobody; user's last words were never sent."""
    first, *_, last = read(TAU2)
    assert first.messages is not None
    assert [message.role for message in first.messages] == ["system", "assistant", "user"]
    assert last.extra is not None
    assert last.extra["unsent"][0]["role"] == "user"


def test_tau2_s_flat_lists_of_parameters_become_schemas() -> None:
    """A parameter keeps its type, its words, and whether it must be given."""
    tools = read(TAU2)[0].tools
    assert tools is not None
    assert [tool.name for tool in tools] == ["search_direct_flight", "search_onestop_flight"]
    parameters = tools[0].parameters
    assert parameters["required"] == ["origin", "destination", "date"]
    assert parameters["properties"]["origin"] == {
        "type": "string",
        "description": "The origin city airport in three letters, such as 'JFK'.",
    }


def test_bfcl_turns_have_no_recorded_answers() -> None:
    """Their functions come from a file of them; expected calls are kept."""
    rows = read(BFCL)
    assert rows[0].tools is not None
    assert rows[0].tools[0].name
    assert [row.reply for row in rows] == [None] * len(rows)
    assert rows[1].new_messages is not None
    assert rows[0].extra is not None
    assert rows[0].extra["ground_truth"]
    kinds = {tool.parameters["type"] for row in rows for tool in row.tools or ()}
    assert kinds == {"object"}  # written `dict` there, which no server knows
    plain = Bfcl(path=BFCL.path)
    assert read(plain)[0].tools is None


def test_toolbench_branches_begin_anew() -> None:
    """A conversation that does not begin with the one before is a prompt of its own."""
    rows = read(TOOLBENCH)
    assert rows[0].messages is not None
    assert any(row.new_messages is not None for row in rows)


COLUMNS = (
    "Timestamp,Session ID,Elapsed time,Model,Request tokens,Response tokens,Total tokens,Log Type"
)
BURST = f"""{COLUMNS}
5,a,2.5,ChatGPT,472,18,490,Conversation log
9,,1,GPT-4,100,0,100,API log
12.5,a,3,ChatGPT,500,20,520,Conversation log"""


def test_burstgpt_sessions_and_failures(tmp_path: Path) -> None:
    """The gap follows from the elapsed time; without it a turn has its recorded time."""
    source = BurstGPT(path=written(tmp_path, *BURST.split("\n"), name="burst.csv"))
    first, failed, later = read(source)
    assert (first.arrival_s, first.session_id, later.gap_s) == (5.0, "a", 5.0)
    assert failed.outcome is not None
    assert failed.outcome.error == "no response"
    assert failed.session_id is None
    assert_comes_back(source, tmp_path)
    old = [",".join(line.split(",")[:1] + line.split(",")[3:]) for line in BURST.split("\n")]
    assert len(read(BurstGPT(path=written(tmp_path, *old, name="old.csv")))) == 3
    broken = BURST.replace("472", "x").replace("100,0,100", "100,0")
    found = errors(BurstGPT(path=written(tmp_path, *broken.split("\n"), name="broken.csv")))
    assert "broken.csv:2: Request tokens: expected a whole number, found 'x'" in found[0]
    assert "broken.csv:3: expected 8 fields, found 7" in found[1]


def test_bailian_requests_follow_their_parents(tmp_path: Path) -> None:
    """Children of one request fork; one whose parent is not in the file begins a session."""
    base = {"input_length": 33, "output_length": 5, "type": "text", "hash_ids": [1, 2, 3]}
    rows = [
        base | {"chat_id": 1, "parent_chat_id": -1, "timestamp": 1.5, "turn": 1},
        base | {"chat_id": 2, "parent_chat_id": 1, "timestamp": 4.0, "turn": 2},
        base | {"chat_id": 3, "parent_chat_id": 1, "timestamp": 5.0, "turn": 2},
        base | {"chat_id": 9, "parent_chat_id": 7, "timestamp": 6.0, "turn": 5},
    ]
    source = Bailian(path=written(tmp_path, *rows))
    sessions, _ = replay.group(source.path, read(source))
    assert [len(session.rows) for session in sessions] == [3, 1]
    assert sessions[0].after == ((0,), (0,))
    assert_comes_back(source, tmp_path)
    assert "found 3" in errors(Bailian(path=source.path, block_tokens=8))[0]


def test_timed_trace_fields_have_the_names_that_are_given(tmp_path: Path) -> None:
    """And the unit of time that is given; a missing field names those that are there."""
    path = written(tmp_path, {"at": 1500, "in": 20, "out": 3, "ids": [4, 5], "who": "me"})
    source = TimedTrace(
        path=path,
        timestamp="at",
        input_length="in",
        output_length="out",
        hash_ids="ids",
        seconds=0.001,
    )
    (row,) = read(source)
    assert (row.arrival_s, row.hash_ids, row.extra) == (1.5, (4, 5), {"who": "me"})
    assert_comes_back(source, tmp_path)
    (error,) = errors(TimedTrace(path=path))
    assert "input_length: expected, found fields at, in, out, ids, who" in error


def test_apex_counts_nanoseconds(tmp_path: Path) -> None:
    """From the first request."""
    path = written(
        tmp_path, {"StartTimeOffset": 2_500_000, "ContextTokens": 62, "GeneratedTokens": 9}
    )
    (row,) = read(Apex(path=path))
    assert (row.arrival_s, row.prompt_tokens, row.output_tokens) == (0.0025, 62, 9)
    assert_comes_back(Apex(path=path), tmp_path)


def test_azure_multimodal_counts_images(tmp_path: Path) -> None:
    """The trace of 2025 has a column more."""
    path = written(
        tmp_path,
        "TIMESTAMP,NumImages,ContextTokens,GeneratedTokens",
        "2025-01-01 00:00:00.5000000,3,1200,7",
    )
    (row,) = read(Azure(path=path))
    assert (row.num_images, row.prompt_tokens, row.output_tokens) == (3, 1200, 7)
    assert_comes_back(Azure(path=path), tmp_path)


def test_vllm_custom_prompts(tmp_path: Path) -> None:
    """Texts as they are; a length where there is one."""
    source = VllmCustom(
        path=written(tmp_path, {"prompt": "Why?", "output_tokens": 5}, {"prompt": "How?"})
    )
    first, second = read(source)
    assert first.messages == (Message("user", "Why?"),)
    assert (first.output_tokens, second.output_tokens) == (5, None)
    assert_comes_back(source, tmp_path)


def test_a_json_array_is_read_like_lines(tmp_path: Path) -> None:
    """ShareGPT comes as one array; vLLM's multi-turn benchmark writes messages."""
    conversation = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]
    array = [{"id": 7, "messages": conversation * 2}, {"id": 8, "messages": conversation[:1]}]
    path = written(tmp_path, json.dumps(array, indent=2))
    source = ShareGPT(path=path)
    rows = [row for row in source.rows() if isinstance(row, TraceRow)]
    assert [row.reply for row in rows] == [Message("assistant", "Hello")] * 2
    assert rows[1].new_messages == (Message("user", "Hi"),)
    assert errors(source) == [
        f"{path}:2: conversations: expected an answer of the model behind others"
    ]


def test_aiperf_mooncake_rows_are_of_four_kinds(tmp_path: Path) -> None:
    """Lengths, a text, messages, a payload; delays are milliseconds after the turn before."""
    messages = [{"role": "user", "content": "Hi"}]
    rows = [
        {"timestamp": 500, "input_length": 600, "output_length": 5, "hash_ids": [1, 2]},
        {"timestamp": 600, "text_input": "Hi", "output_length": 4},
        {"timestamp": 700, "session_id": "s", "messages": messages},
        {
            "session_id": "s",
            "delay": 1500,
            "payload": {"messages": messages, "max_tokens": 9, "temperature": 0},
        },
    ]
    source = AIPerfMooncake(path=written(tmp_path, *rows))
    lengths, text, _, payload = read(source)
    assert (lengths.arrival_s, lengths.hash_ids) == (0.5, (1, 2))
    assert text.messages == (Message("user", "Hi"),)
    assert (payload.gap_s, payload.output_tokens) == (1.5, 9)
    assert payload.extra == {"payload": {"max_tokens": 9, "temperature": 0}}
    assert_comes_back(source, tmp_path)
    both = {"input_length": 1, "text_input": "x"}
    (error,) = errors(AIPerfMooncake(path=written(tmp_path, both)))
    assert "one of them" in error


def test_aiperf_dag_forks_spawns_and_joins(tmp_path: Path) -> None:
    """A spawned child begins anew and is waited for; a fork goes on with the conversation."""

    def turn(text: str, **more: object) -> dict[str, object]:
        return {"messages": [{"role": "user", "content": text}], **more}

    rows = [
        {
            "session_id": "root",
            "turns": [
                turn("a", spawns=["kid"], forks=["twin"], max_tokens=7),
                turn("b", delay=250),
            ],
        },
        {"session_id": "kid", "turns": [turn("k0"), turn("k1")]},
        {"session_id": "twin", "turns": [turn("t0")]},
    ]
    source = AIPerfDag(path=written(tmp_path, *rows))
    found = {row.id: row for row in read(source)}
    assert found["kid.0"].after == ("root.0",)
    assert found["kid.0"].messages is not None
    assert found["twin.0"].new_messages is not None
    assert found["root.1"].after == ("root.0", "kid.1")
    assert (found["root.1"].gap_s, found["root.0"].output_tokens) == (0.25, 7)
    assert_comes_back(source, tmp_path)
    rows[1]["turns"] = [turn("k0", spawns=["root"])]
    assert "session" not in found
    (error,) = errors(AIPerfDag(path=written(tmp_path, *rows[1:], {**rows[0], "session_id": "x"})))
    assert "'root' is not in the file" in error


def span(name: str, start: int, end: int, asked: list[dict[str, str]], reply: str) -> dict:
    attributes = {
        "gen_ai.operation.name": "chat",
        "gen_ai.request.model": "m",
        "gen_ai.input.messages": json.dumps(asked),
        "gen_ai.output.messages": json.dumps([{"role": "assistant", "content": reply}]),
        "gen_ai.usage.input_tokens": 12,
        "gen_ai.usage.output_tokens": 3,
    }
    clock = "2026-01-01T00:00:{:02d}Z"
    return {
        "trace_id": "t",
        "span_id": name,
        "name": "chat m",
        "start_time": clock.format(start),
        "end_time": clock.format(end),
        "attributes": attributes,
    }


def test_otel_calls_wait_for_what_had_ended(tmp_path: Path) -> None:
    """Two under way together fork from the one before; the next joins both, and goes on with the
    one whose words it begins with. Other spans are passed over."""
    hi = [{"role": "user", "content": "Hi"}]
    on = [*hi, {"role": "assistant", "content": "A"}, {"role": "user", "content": "Go on"}]
    more = [*on, {"role": "assistant", "content": "C"}, {"role": "user", "content": "End"}]
    spans = [
        span("a", 0, 2, hi, "A"),
        span("b", 3, 9, [{"role": "user", "content": "Else"}], "B"),
        span("c", 4, 8, on, "C"),
        span("d", 10, 12, more, "D"),
        {"trace_id": "t", "span_id": "x", "name": "execute_tool ls", "attributes": {}},
    ]
    source = Otel(path=written(tmp_path, {"spans": spans}))
    a, b, c, d = read(source)
    assert (a.after, b.after, c.after, d.after) == (None, ("a",), ("a",), ("c", "b"))
    assert (b.gap_s, c.gap_s, d.gap_s) == (1.0, 2.0, 1.0)
    assert b.messages is not None
    assert c.new_messages == (Message("user", "Go on"),)
    assert d.new_messages == (Message("user", "End"),)
    assert (a.prompt_tokens, a.output_tokens, a.reply) == (12, 3, Message("assistant", "A"))
    assert_comes_back(source, tmp_path)


def test_tracelab_rounds(tmp_path: Path) -> None:
    """The gap is from the last event of a round to the last tool result before the next."""

    def event(kind: str, second: float) -> dict[str, str]:
        return {"event_type": kind, "timestamp": f"2026-06-01T05:40:{second:06.3f}Z"}

    base = {"session_id": "s", "model": "m", "input_tokens_total": 100, "output_tokens": 9}
    first = [event("user_message", 1), event("reasoning", 4), event("tool_call", 6)]
    second = [event("tool_result", 7), event("tool_result", 9.5), event("text", 11)]
    rows = [
        base | {"round_id": "r0", "timing_events": first, "prefix_tokens": 64, "tools": []},
        base | {"round_id": "r1", "timing_events": second},
    ]
    source = TraceLab(path=written(tmp_path, *rows))
    one, two = read(source)
    assert one.outcome is not None
    assert (one.outcome.ttft_s, one.outcome.e2e_s, one.outcome.cached_tokens) == (3.0, 5.0, 64)
    assert two.gap_s == 3.5
    assert_comes_back(source, tmp_path)


def test_a_file_of_a_data_set_is_read_by_column(tmp_path: Path) -> None:
    """Which column is what is the user's to say: one of three kinds. Slices of GSM8K and of
    FastChat's conversations, as JSONL, CSV and Parquet."""
    with pytest.raises(ValueError, match="expected one of them"):
        HuggingFace(path="a/b")
    chats = HuggingFace(path=str(DATA / "sharegpt.jsonl"), messages="conversations")
    rows = read(chats)
    assert [row.reply for row in rows] == [
        row.reply for row in read(ShareGPT(path=str(DATA / "sharegpt.jsonl")))
    ]
    assert_comes_back(chats, tmp_path)
    questions = [json.loads(line) for line in (DATA / "gsm8k.jsonl").read_text().splitlines()]
    as_csv = tmp_path / "gsm8k.csv"
    with as_csv.open("w", newline="") as file:
        writer = csv.DictWriter(file, ["question", "answer"])
        writer.writeheader()
        writer.writerows(questions)
    as_parquet = tmp_path / "gsm8k.parquet"
    pq.write_table(pa.Table.from_pylist(questions), as_parquet)
    for path in (DATA / "gsm8k.jsonl", as_csv, as_parquet):
        rows = read(HuggingFace(path=str(path), prompt="question"))
        assert [row.messages for row in rows] == [
            (Message("user", one["question"]),) for one in questions
        ]
        assert [row.extra for row in rows] == [{"answer": one["answer"]} for one in questions]


def test_a_broken_row_of_a_data_set_says_where(tmp_path: Path) -> None:
    """What is missing; a hub's words for a file; and what is no file without the library."""
    conversation = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yes"}]
    path = written(tmp_path, {"chat": conversation, "n": 4}, {"chat": conversation[:1], "n": 5})
    (problem,) = errors(HuggingFace(path=path, messages="chat"))
    assert problem.endswith(":2: chat: expected an answer of the model behind others")
    lengths = read(HuggingFace(path=path, prompt_tokens="n", output_tokens="n"))
    assert [row.prompt_tokens for row in lengths] == [4, 5]
    short = written(tmp_path, "n,m", "1,2", "3", name="short.csv")
    (problem,) = errors(HuggingFace(path=short, prompt_tokens="n"))
    assert problem.endswith(":3: expected 2 fields: n, m")
    broken = written(tmp_path, "no table", name="broken.parquet")
    with pytest.raises(ScenarioError, match=r"broken\.parquet: cannot be read"):
        read(HuggingFace(path=broken, prompt="n"))
    with pytest.raises(ScenarioError, match="a file has no name, split or revision"):
        read(HuggingFace(path=path, messages="chat", split="test"))


def test_a_data_set_of_the_hub_needs_the_library(tmp_path: Path) -> None:
    """Without it the error says which to install; with it a folder is a data set."""
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "train.jsonl").write_text((DATA / "gsm8k.jsonl").read_text())
    source = HuggingFace(path=str(tmp_path / "set"), prompt="question")
    try:
        import datasets
    except ImportError:
        with pytest.raises(ScenarioError, match=r"pip install 'benchsuite\[datasets\]'"):
            read(source)
        return
    datasets.disable_progress_bars()
    datasets.config.HF_DATASETS_CACHE = tmp_path / "cache"
    assert len(read(source)) == 10


def test_display_text_is_a_conversation(tmp_path: Path) -> None:
    """tau-bench's few-shot file: a line a message, some of several lines; what a tool said is the
    user's, since its call is not in the file."""
    shown = "user: Hi\nassistant: None\ntool: {}\nassistant: One\n\ntwo: three\nuser: Bye"
    rows = read(TauBench(path=written(tmp_path, {"messages_display": shown})))
    assert [row.reply for row in rows] == [
        Message("assistant", "None"),
        Message("assistant", "One\n\ntwo: three"),
    ]
    assert rows[1].new_messages == (Message("user", "{}"),)
    assert rows[1].extra is not None
    assert rows[1].extra["unsent"] == [{"role": "user", "content": "Bye"}]
    (problem,) = errors(TauBench(path=written(tmp_path, {"messages_display": "Hi"})))
    assert "expected a role and a colon first, found 'Hi'" in problem


def _unpacked(name: str) -> list[str]:
    return gzip.decompress((DATA / name).read_bytes()).decode().splitlines()
