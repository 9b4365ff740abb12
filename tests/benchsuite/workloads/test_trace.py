"""Replay of traces: times, lengths, shared prefixes, and what each knob does."""

import gzip
import json
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchsuite.errors import ScenarioError, TraceError
from benchsuite.workloads import replay
from benchsuite.workloads.conversation import schemas, words
from benchsuite.workloads.formats import Azure, Bfcl, Jsonl, Mooncake, TauBench, Weka, chat
from benchsuite.workloads.formats.base import TraceRow
from benchsuite.workloads.replay import Recorded
from benchsuite.workloads.tokenizer import load
from benchsuite.workloads.trace import Slice, Trace

DATA = Path(__file__).parents[2] / "data"
SCENARIOS = Path(__file__).parents[3] / "scenarios" / "data"
CONV = Azure(path=str(DATA / "azure_2023_conv.csv"))
MOON = Mooncake(path=str(DATA / "mooncake.jsonl"))
NATIVE = Jsonl(path=str(DATA / "native.jsonl"))
BUNDLED = load("bundled")


def sessions(trace, seed=1):
    found = list(trace.sessions(BUNDLED, seed))
    assert [session.id for session in found] == list(range(len(found)))
    ids = [request.id for session in found for request in session.requests]
    assert ids == list(range(len(ids)))
    assert all(a.start_s <= b.start_s for a, b in pairwise(found))
    return found


def requests(trace, seed=1):
    return [request for session in sessions(trace, seed) for request in session.requests]


def text(request):
    return request.prompt.render().messages[-1].content


def test_a_trace_is_replayed_as_recorded():
    """Times from the first row; lengths as recorded; every prompt of real text, exact, its own."""
    rows = list(CONV.rows())
    found = sessions(Trace(source=CONV))
    assert [session.start_s for session in found] == [row.arrival_s for row in rows]
    for row, session in zip(rows, found, strict=True):
        (request,) = session.requests
        assert request.prompt.render().prompt_tokens == request.prompt_tokens == row.prompt_tokens
        assert request.max_output_tokens == row.output_tokens
        assert request.ignore_eos
    assert len({text(session.requests[0])[:100] for session in found}) == len(found)


def test_equal_hash_ids_are_equal_text():
    """The first 512 tokens of all ten Mooncake rows carry id 0 and are one text."""
    rows = list(MOON.rows())
    ids = [BUNDLED.encode(text(request)) for request in requests(Trace(source=MOON))]
    assert [len(tokens) for tokens in ids] == [row.prompt_tokens for row in rows]
    assert {row.hash_ids[0] for row in rows} == {0}
    assert len({tuple(tokens[:512]) for tokens in ids}) == 1
    assert len({tuple(tokens[512:1024]) for tokens in ids}) == len({r.hash_ids[1] for r in rows})


def test_prompts_are_the_same_in_another_process():
    """Hash blocks and prompts depend on seed and ids alone, not on the process's hash seed."""
    program = (
        "import sys; from benchsuite.workloads.formats import Mooncake;"
        "from benchsuite.workloads.trace import Trace;"
        "from benchsuite.workloads.tokenizer import load;"
        "s = list(Trace(source=Mooncake(path=sys.argv[1])).sessions(load('bundled'), 1));"
        "print(s[3].requests[0].prompt.render().messages[0].content)"
    )
    found = subprocess.run(
        [sys.executable, "-c", program, MOON.path],
        capture_output=True,
        check=True,
        env={"PYTHONHASHSEED": "77", "PYTHONPATH": ":".join(sys.path)},
    )
    assert found.stdout.decode().strip() == text(requests(Trace(source=MOON))[3])


def test_scaled_blocks_share_what_whole_blocks_shared():
    """Token scale 1/32: blocks of 16 tokens, equal ids still equal text, lengths scaled."""
    rows = list(MOON.rows())
    found = requests(Trace(source=MOON, token_scale=1 / 32))
    ids = [BUNDLED.encode(text(request)) for request in found]
    assert [len(tokens) for tokens in ids] == [request.prompt_tokens for request in found]
    for row, request in zip(rows, found, strict=True):
        assert request.prompt_tokens == pytest.approx(row.prompt_tokens / 32, abs=1)
        assert request.max_output_tokens == max(1, round(row.output_tokens / 32))
    assert len({tuple(tokens[:16]) for tokens in ids}) == 1
    assert len({tuple(tokens[16:32]) for tokens in ids}) == len(ids)


def test_another_seed_is_another_text_of_the_same_length():
    """The seed salts every prompt, so a second run finds no warm cache unless it asks for one."""
    first, second = (requests(Trace(source=MOON, token_scale=0.1), seed) for seed in (1, 2))
    assert [r.prompt_tokens for r in first] == [r.prompt_tokens for r in second]
    assert all(text(a) != text(b) for a, b in zip(first, second, strict=True))


def test_native_sessions_keep_their_turns_gaps_words_and_answers():
    """Turns of a session begin alike; messages are sent as written; classes and answers stay."""
    found = sessions(Trace(source=NATIVE))
    assert [session.start_s for session in found] == [0.0, 0.5, 1.0, 2.0, 2.0, 3.0, 9.25]
    chat, question, three = found[1], found[2].requests[0], found[5]
    assert chat.gaps_s == (2.0,)
    assert [request.slo_class for request in chat.requests] == ["chat", "chat"]
    first, second = (text(request).split() for request in chat.requests)
    assert first[:50] == second[:50]
    assert three.gaps_s == (0.0, 0.5)
    rendered = question.prompt.render()
    assert [message.role for message in rendered.messages] == ["system", "user"]
    assert rendered.prompt_tokens == question.prompt_tokens
    assert question.prompt_tokens == BUNDLED.count("Be brief.") + BUNDLED.count("What is 6 * 7?")
    assert (question.expected, question.grader) == ("42", "number")


@pytest.mark.parametrize(
    ("piece", "starts"),
    [
        (Slice(), [0.0, 0.5, 1.0, 2.0, 2.0, 3.0, 9.25]),
        (Slice(start=0.5), [0.0, 0.5, 1.5, 1.5, 2.5, 8.75]),
        (Slice(start=0.5, duration=1.5), [0.0, 0.5]),
        (Slice(requests=2), [0.0, 0.5]),
        (Slice(start=2.5, requests=1), [0.5]),
    ],
)
def test_a_slice_is_half_open_and_counts_from_its_start(piece, starts):
    """[start, start + duration); no session starts once enough requests are in."""
    assert [s.start_s for s in sessions(Trace(source=NATIVE, slice=piece))] == starts


def test_an_empty_slice_is_refused():
    """A slice outside the trace is the user's mistake, and the answer names the trace's span."""
    with pytest.raises(ScenarioError, match=r"between 0 s and 9.25 s"):
        sessions(Trace(source=NATIVE, slice=Slice(start=100)))


def test_time_scale_stretches_times_and_gaps():
    """Twice as long: half the rate, the same requests."""
    plain, slow = (sessions(Trace(source=NATIVE, time_scale=k)) for k in (1, 2))
    assert [s.start_s for s in slow] == [2 * s.start_s for s in plain]
    assert slow[1].gaps_s == (4.0,)
    assert [s.requests[0].prompt_tokens for s in slow] == [
        s.requests[0].prompt_tokens for s in plain
    ]


@pytest.mark.parametrize("over_limit", ["clip", "skip"])
def test_lengths_over_a_limit_are_clipped_or_left_out_and_counted(over_limit):
    """Either way no request is over the limit, and the notes say how many rows it took."""
    trace = Trace(source=NATIVE, max_prompt_tokens=150, max_output_tokens=25, over_limit=over_limit)
    found = requests(trace)
    assert all(r.prompt_tokens <= 150 and r.max_output_tokens <= 25 for r in found)
    facts = trace.facts()
    if over_limit == "clip":
        assert (len(found), facts.num_clipped, facts.num_left_out) == (10, 3, 0)
        assert trace.notes() == ("3 of 10 trace rows were clipped to a limit",)
        shared = [text(r) for r in found if r.max_output_tokens == 9]
        assert shared[0] == shared[1]
    else:
        assert (len(found), facts.num_clipped, facts.num_left_out) == (6, 0, 4)
        assert "4 of 10 trace rows were left out" in trace.notes()[0]


def test_a_broken_row_stops_the_run_or_is_counted(tmp_path):
    """`fail` names file, line and field; `skip` leaves out the row, or all turns it orphaned."""
    good = {"arrival_s": 1, "prompt_tokens": 1, "output_tokens": 1}
    rows = [
        good,
        good | {"session_id": "a", "output_tokens": -1},
        {"gap_s": 1, "prompt_tokens": 1, "output_tokens": 1, "session_id": "a"},
        {"gap_s": 1, "prompt_tokens": 1, "output_tokens": 1, "session_id": "a"},
    ]
    path = tmp_path / "trace.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in rows))
    with pytest.raises(TraceError, match=r"trace.jsonl:2: output_tokens"):
        sessions(Trace(source=Jsonl(path=str(path))))
    trace = Trace(source=Jsonl(path=str(path)), on_bad_row="skip")
    assert len(sessions(trace)) == 1
    assert trace.facts().num_rows == 4
    assert trace.facts().num_broken == 3
    assert trace.notes()[0].startswith("3 broken trace rows were skipped; the first: ")


def test_a_row_without_output_asks_for_one_token_and_says_so(tmp_path):
    """A server cannot be asked for nothing; the notes count such rows."""
    path = tmp_path / "trace.csv"
    path.write_text(
        "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:15:46.68,0,0\n"
        "2023-11-16 18:15:47.68,5,5\n"
    )
    trace = Trace(source=Azure(path=str(path)))
    assert [(r.prompt_tokens, r.max_output_tokens) for r in requests(trace)] == [(1, 1), (5, 5)]
    assert trace.notes() == ("1 of 2 trace rows recorded no output and ask for 1 token",)


recorded = st.lists(st.floats(0, 1000), min_size=1, max_size=60).map(
    lambda starts: [
        Recorded(start_s - min(starts), (TraceRow(line=i, output_tokens=1, prompt_tokens=1),))
        for i, start_s in enumerate(sorted(starts))
    ]
)


@given(recorded, st.integers(0, 2**32))
def test_a_rate_scale_of_one_changes_nothing(found, seed):
    """Scale 1 is the trace itself."""
    assert replay.scale_rate(found, 1.0, 5.0, seed) == found


@given(recorded, st.floats(0.05, 4), st.integers(0, 2**32))
def test_a_scaled_rate_stays_within_the_trace_and_in_order(found, scale, seed):
    """Nobody starts before the beginning or after the end; floor(scale) whole copies are there."""
    played = replay.scale_rate(found, scale, 5.0, seed)
    starts = [session.start_s for session in played]
    assert starts == sorted(starts)
    assert all(-1e-9 <= start <= found[-1].start_s + 1e-9 for start in starts)
    for copy in range(int(scale)):
        assert sum(session.copy == copy for session in played) == len(found)
    kept = {session.rows for session in played if session.copy == 0}
    assert kept <= {session.rows for session in found}


@pytest.mark.parametrize("scale", [0.25, 1.5, 3.25])
def test_a_scaled_rate_has_as_many_requests_everywhere(scale):
    """In each quarter of the time there are `scale` times as many, within 5 sigma."""
    rows = (TraceRow(line=1, output_tokens=1, prompt_tokens=1),)
    found = [Recorded(i / 20 + (i > 4000) * i / 40, rows) for i in range(8000)]
    played = replay.scale_rate(found, scale, 5.0, 1)
    for low in (0, 100, 200, 300, 400):
        before = sum(low <= session.start_s < low + 100 for session in found)
        after = sum(low <= session.start_s < low + 100 for session in played)
        assert after == pytest.approx(scale * before, abs=5 * (scale * before) ** 0.5 + 100 * scale)


def test_copies_of_a_session_ask_something_else():
    """A doubled rate does not double a prefix cache's hits: copies have texts of their own."""
    found = sessions(Trace(source=MOON, token_scale=1 / 32, rate_scale=2))
    assert len(found) == 20
    openings = {tuple(BUNDLED.encode(text(session.requests[0]))[:16]) for session in found}
    assert len(openings) == 2


def test_scenario_words():
    """The YAML of a trace, as a user writes it."""
    written = {
        "type": "trace",
        "source": {"type": "mooncake", "path": "x.jsonl"},
        "slice": {"start": 1.5, "duration": 60, "requests": 9},
        "rate_scale": 2,
        "time_scale": 0.5,
        "token_scale": 0.25,
        "max_prompt_tokens": 100,
        "over_limit": "skip",
        "on_bad_row": "skip",
    }
    trace = msgspec.convert(written, Trace)
    assert trace.source == Mooncake(path="x.jsonl", block_tokens=512)
    assert trace.slice == Slice(start=1.5, duration=60, requests=9)


WEKA = Weka(path=str(SCENARIOS / "weka_5.jsonl.gz"))
TAU = TauBench(path=str(SCENARIOS / "tau_bench_airline_6.jsonl.gz"))


def untimed(trace, seed=1):
    return list(trace.sessions(BUNDLED, seed))


def test_a_scripted_session_sends_the_recorded_messages():
    """Each request is what stood before the recorded answer, to the letter, tools with it."""
    lines_ = gzip.decompress(Path(TAU.path).read_bytes()).decode().splitlines()
    tools = str(SCENARIOS / "tau_bench_airline_tools.json.gz")
    found = untimed(Trace(source=TauBench(path=TAU.path, tools=tools)))
    assert len(found) == len(lines_) == 6
    for line, session in zip(lines_, found, strict=True):
        messages = [chat.message(raw) for raw in json.loads(line)["messages"]]
        answers = [i for i, message in enumerate(messages) if message.role == "assistant"]
        assert session.history == "scripted"
        assert session.start_s is None
        assert len(session.requests) == len(answers)
        for request, at in zip(session.requests, answers, strict=True):
            rendered = request.prompt.render()
            assert list(rendered.messages) == messages[:at]
            said = sum(BUNDLED.count(words(m)) for m in messages[:at])
            assert rendered.prompt_tokens == said + BUNDLED.count(schemas(request.tools))
            assert request.prompt_tokens == rendered.prompt_tokens
            assert request.max_output_tokens == max(1, BUNDLED.count(words(messages[at])))
            assert len(request.tools) == 5


def test_live_replies_leave_room_for_what_the_model_says():
    """Asked for, or where no reply was recorded: prompts are what each turn adds."""
    bfcl = Bfcl(path=str(DATA / "bfcl.jsonl.gz"))
    for trace in (Trace(source=TAU, replies="live"), Trace(source=bfcl)):
        session = untimed(trace)[0]
        assert session.history == "live"
        assert session.fresh == ()
        roles = [m.role for m in session.requests[1].prompt.render().messages]
        assert roles in (["user"], ["tool"])
    first = untimed(Trace(source=bfcl, output_tokens=77))[0].requests[0]
    assert first.max_output_tokens == 77


def test_sub_agents_are_a_graph():
    """Forks and joins of the trace are those of the session; gaps are stretched like all times."""
    trace = Trace(source=WEKA, token_scale=1 / 64, time_scale=0.5)
    (session,) = (one for one in untimed(trace) if len(one.requests) == 32)
    assert session.after is not None
    assert session.waits_for(16) == session.waits_for(21) == (15,)
    assert session.waits_for(28) == (15, 20, 27)
    assert session.gaps_s[0] == pytest.approx((19.0 - 10.02) / 2)


def test_ids_of_one_conversation_mean_nothing_in_another():
    """WEKA's hash ids count from 1 in each conversation; within one they are shared text."""
    found = untimed(Trace(source=WEKA, max_prompt_tokens=300))
    openings = {text(session.requests[0])[:200] for session in found}
    assert len(openings) == len(found) == 5
    first, second = (text(request) for request in found[0].requests[:2])
    assert first[:800] == second[:800]


def test_what_stands_behind_the_last_block_is_its_own():
    """A trace of whole blocks leaves a partial one out: its text is nobody else's."""
    rows = [row for row in WEKA.rows() if row.session_id == "trace_0174"]
    session = next(s for s in untimed(Trace(source=WEKA)) if len(s.requests) == len(rows))
    for row, request in zip(rows, session.requests, strict=True):
        assert request.prompt_tokens == row.prompt_tokens
    assert session.requests[0].prompt.render().prompt_tokens == rows[0].prompt_tokens


def test_a_turn_with_a_time_of_its_own_is_not_due_before(tmp_path):
    """From the start of its session; such rows have no gap."""
    rows = [
        {"session_id": 1, "id": 1, "arrival_s": 5, "prompt_tokens": 9, "output_tokens": 1},
        {"session_id": 1, "after": [1], "arrival_s": 8.5, "prompt_tokens": 9, "output_tokens": 1},
    ]
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    (session,) = sessions(Trace(source=Jsonl(path=str(path)), time_scale=2))
    assert (session.earliest_s, session.gaps_s) == ((7.0,), (0.0,))


def test_a_trace_without_times_is_not_cut_by_them():
    """What needs times says so; a number of turns or requests does not."""
    for knob in ({"slice": Slice(start=1)}, {"slice": Slice(duration=5)}, {"rate_scale": 2.0}):
        with pytest.raises(ScenarioError, match="nothing of when its sessions began"):
            untimed(Trace(source=WEKA, **knob))
    found = untimed(Trace(source=WEKA, max_turns=3, slice=Slice(requests=6)))
    assert [len(session.requests) for session in found] == [3, 3]


@pytest.mark.parametrize(
    ("rows", "problem"),
    [
        ([{"arrival_s": 0}, {"after": ["x"], "gap_s": 1}], "waits for 'x': expected an earlier"),
        ([{"arrival_s": 0}, {}], "expected gap_s or arrival_s in each row but the first"),
        ([{}, {"arrival_s": 3}], "expected gap_s in each later row"),
        ([{"gap_s": 3}], "expected arrival_s in its first row, then gap_s"),
    ],
)
def test_what_cannot_be_put_in_order_or_time_says_so(rows, problem):
    """Every row of the session is an error."""
    made = [
        TraceRow(line=i, session_id="s", prompt_tokens=1, output_tokens=1, **row)
        for i, row in enumerate(rows)
    ]
    known, problems = replay.group("file", made)
    assert known == []
    assert len(problems) == len(rows)
    assert problem in str(problems[0])
