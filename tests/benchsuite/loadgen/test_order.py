"""Who may go when: properties of any graph."""

import heapq

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from benchsuite.loadgen.order import Graph, Line, order
from benchsuite.request import Message, Request, Scripted, Session

REQUEST = Request(
    id=0, prompt=Scripted((Message("user", "x"),), 1), prompt_tokens=1, max_output_tokens=1
)


@st.composite
def graphs(draw: st.DrawFn) -> Session:
    num = draw(st.integers(1, 9))
    after = tuple(
        tuple(sorted(draw(st.sets(st.integers(0, turn - 1), max_size=3)))) for turn in range(1, num)
    )
    gaps_s = tuple(draw(st.sampled_from((0.0, 0.5, 3.0))) for _ in after)
    return Session(id=0, requests=(REQUEST,) * num, gaps_s=gaps_s, after=after)


def simulate(session: Session, failing: frozenset[int]) -> tuple[dict[int, float], list[int]]:
    """When each was due if every answer takes 1 s, and those that were never sent."""
    graph = order(session, 10.0)
    due_s: dict[int, float] = {}
    lost: list[int] = []
    going = [(graph.due_s(turn) if turn else 10.0, turn) for turn in graph.roots()]
    heapq.heapify(going)
    while going:
        at_s, turn = heapq.heappop(going)
        assert turn not in due_s
        due_s[turn] = at_s
        if turn in failing:
            lost += graph.lost(turn)
        else:
            for child in graph.ended(turn, at_s + 1.0):
                heapq.heappush(going, (graph.due_s(child), child))
    return due_s, lost


@given(graphs())
@settings(max_examples=60)
def test_due_is_when_the_last_parent_ended_plus_the_gap(session: Session) -> None:
    """For every request; and every one goes."""
    due_s, lost = simulate(session, frozenset())
    assert lost == []
    assert due_s.keys() == set(range(len(session.requests)))
    for turn in range(1, len(session.requests)):
        parents = session.waits_for(turn)
        base_s = max((due_s[parent] + 1.0 for parent in parents), default=10.0)
        assert due_s[turn] == base_s + session.gaps_s[turn - 1]


@given(graphs(), st.frozensets(st.integers(0, 8), max_size=3))
@settings(max_examples=60)
def test_each_request_goes_once_or_is_lost_once(session: Session, failing: frozenset[int]) -> None:
    """Lost are those with a failed ancestor, and no others."""
    due_s, lost = simulate(session, failing)
    assert sorted([*due_s, *lost]) == list(range(len(session.requests)))
    without = set(failing)
    for turn in range(len(session.requests)):
        if without.intersection(session.waits_for(turn)):
            without.add(turn)
            assert turn in lost
        else:
            assert turn in due_s


@given(st.integers(1, 6), st.integers(0, 6))
@settings(max_examples=20)
def test_a_line_is_the_graph_in_which_each_waits_for_the_one_before(num: int, failing: int) -> None:
    """The short way and the general one say the same."""
    gaps_s = tuple(0.5 * turn for turn in range(num - 1))
    session = Session(id=0, requests=(REQUEST,) * num, gaps_s=gaps_s)
    graph = replace(session, after=tuple((turn,) for turn in range(num - 1)))
    assert isinstance(order(session, 10.0), Line)
    assert isinstance(order(graph, 10.0), Graph)
    assert simulate(session, frozenset({failing})) == simulate(graph, frozenset({failing}))


@given(graphs(), st.lists(st.floats(0, 20), min_size=8, max_size=8))
@settings(max_examples=40)
def test_nothing_is_due_before_its_time_in_the_session(
    session: Session, earliest_s: list[float]
) -> None:
    """Of a line too; the session's start is where that time counts from."""
    for one in (session, replace(session, after=None)):
        timed = replace(one, earliest_s=tuple(earliest_s[: len(one.gaps_s)]))
        due_s, _ = simulate(timed, frozenset())
        for turn in range(1, len(timed.requests)):
            parents = timed.waits_for(turn)
            base_s = max((due_s[parent] + 1.0 for parent in parents), default=10.0)
            gap_s, not_before_s = timed.gaps_s[turn - 1], timed.earliest_s[turn - 1]
            assert due_s[turn] == max(base_s + gap_s, 10.0 + not_before_s)
