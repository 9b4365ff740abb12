"""Salt: a warm prefix cache must not flatter a second run."""

from msgspec.structs import replace

from benchsuite.arrivals import Constant
from benchsuite.endpoints import InProcess, OpenAIChat
from benchsuite.loadgen.schedule import Schedule
from benchsuite.scenario import Limits, Scenario, salted
from benchsuite.streams import rng
from benchsuite.workloads import Synthetic
from benchsuite.workloads.lengths import Fixed
from benchsuite.workloads.tokenizer import load

BUNDLED = load("bundled")
SCENARIO = Scenario(
    name="s",
    endpoint=OpenAIChat(url="http://localhost:1", model="m"),
    workload=Synthetic(prompt_tokens=Fixed(40), output_tokens=Fixed(4), shared_prefix_tokens=32),
    arrivals=Constant(rate=1),
    limits=Limits(requests=3),
)


def prompts(salt: str | None) -> list[str]:
    schedule = Schedule.plan(replace(SCENARIO, salt=salt), BUNDLED)
    texts = [session.requests[0].prompt.render() for _, session in schedule]
    assert [text.prompt_tokens for text in texts] == [72] * 3
    return [text.messages[0].text for text in texts]


def test_another_salt_is_another_text_of_the_same_length() -> None:
    """Nothing in front is shared with another run, and all within one; equal salts, equal bytes."""
    plain, first, second = prompts(None), prompts("a"), prompts("b")
    assert prompts("a") == first
    openings = {texts[0].split()[0] + texts[0].split()[1] for texts in (plain, first, second)}
    assert len(openings) == 3
    for texts in (plain, first, second):
        assert len({" ".join(text.split()[:20]) for text in texts}) == 1


def test_due_times_and_lengths_are_the_seed_s_alone() -> None:
    """Salt changes words and nothing else."""
    one, two = (Schedule.plan(replace(SCENARIO, salt=salt), BUNDLED) for salt in ("a", "b"))
    assert one.due_s == two.due_s
    assert one.digest() != two.digest()


def test_a_run_draws_its_salt_unless_it_has_one_or_wants_a_warm_cache() -> None:
    """And not on virtual time, where no server is there before the run."""
    assert salted(SCENARIO, "new").salt == "new"
    assert salted(replace(SCENARIO, salt="mine"), "new").salt == "mine"
    assert salted(replace(SCENARIO, cache="warm"), "new").salt is None
    assert salted(replace(SCENARIO, endpoint=InProcess()), "new").salt is None


def test_a_salted_tokenizer_counts_as_before() -> None:
    """It is the texts it makes that differ."""
    other = BUNDLED.salted("x")
    assert other.count("one two three") == BUNDLED.count("one two three")
    made = [one.text(50, rng(1, "t")) for one in (BUNDLED, other, BUNDLED.salted("x"))]
    assert made[0].text != made[1].text
    assert made[1] == made[2]
    assert {text.num_tokens for text in made} == {50}
