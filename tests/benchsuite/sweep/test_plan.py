"""Which scenarios a sweep runs, and in which order."""

from pathlib import Path

import pytest

from benchsuite.errors import ScenarioError
from benchsuite.sweep.plan import Axis, Matrix, Point, axes, axis, matrix, points

RATE = Axis("arrivals.rate", ("1", "2", "4"))
POLICY = Axis("endpoint.engine.policy.type", ("colocated", "chunked_prefill"))


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("arrivals.rate=1,2,4", ("1", "2", "4")),
        ("arrivals.rate=0.5", ("0.5",)),
        ("arrivals.rate=1..16:5", ("1", "2", "4", "8", "16")),
        ("arrivals.rate=1..3:5", ("1", "2", "3")),
        ("arrivals.rate=0.5..8.0:5", ("0.5", "1", "2", "4", "8")),
        ("arrivals={type: poisson, rate: 2},{type: gamma, rate: 2, burstiness: 0.5}",
         ("{type: poisson, rate: 2}", "{type: gamma, rate: 2, burstiness: 0.5}")),
        ('name="a,b",c', ('"a,b"', "c")),
    ],
)  # fmt: skip
def test_values_are_listed_or_spaced(text: str, values: tuple[str, ...]) -> None:
    assert axis(text).values == values


@pytest.mark.parametrize("text", ["arrivals.rate", "=1", "arrivals.rate=", "arrivals.rate=4..1:3"])
def test_a_broken_axis_is_told(text: str) -> None:
    with pytest.raises(ScenarioError, match="--vary"):
        axis(text)


def test_a_grid_has_every_combination_once_a_repeat() -> None:
    found = points([RATE, POLICY], repeats=2)
    assert len(found) == 12
    assert len({one.id for one in found}) == 12
    assert {one.repeat for one in found[:6]} == {0}, "repeat after repeat"


def test_the_order_is_shuffled_anew_in_every_repeat_and_the_same_again() -> None:
    """A server that warms up or ages favours no point."""
    many = Axis("arrivals.rate", tuple(map(str, range(20))))
    found = points([many], repeats=2, seed=3)
    orders = [[one.overrides["arrivals.rate"] for one in found if one.repeat == r] for r in (0, 1)]
    assert orders[0] != orders[1]
    assert sorted(orders[0]) == sorted(orders[1])
    assert points([many], repeats=2, seed=3) == found


def test_include_and_exclude() -> None:
    found = points(
        [RATE, POLICY],
        exclude=[{"arrivals.rate": 4, "endpoint.engine.policy.type": "colocated"}],
        include=[{"arrivals.rate": 8}, {"arrivals.rate": 1, POLICY.key: "colocated"}],
    )
    assert len(found) == 3 * 2 - 1 + 1, "one out, one in; the other was there already"
    assert {"arrivals.rate": "8"} in [one.overrides for one in found]


def test_ids_do_not_depend_on_the_rest_of_the_sweep() -> None:
    """A longer sweep finds what a shorter one measured."""
    few, more = points([RATE]), points([RATE], repeats=3)
    assert {one.id for one in few} < {one.id for one in more}
    assert Point({"a": "1", "b": "2"}, 0).id == Point({"b": "2", "a": "1"}, 0).id


def test_nothing_left_or_varied_twice_is_an_error() -> None:
    with pytest.raises(ScenarioError, match="everything is excluded"):
        points([Axis("a", ("1",))], exclude=[{"a": 1}])
    with pytest.raises(ScenarioError, match="varied twice"):
        points([RATE, RATE])
    with pytest.raises(ScenarioError, match=r"m.yaml: vary.a: expected at least one value"):
        points([Axis("a", ())], source="m.yaml")
    with pytest.raises(
        ScenarioError, match=r"m.yaml: exclude\[1\].b: expected a key that is varied"
    ):
        points([Axis("a", ("1",))], exclude=[{"a": 2}, {"a": 1, "b": 1}], source="m.yaml")


def test_a_matrix_file(tmp_path: Path) -> None:
    path = tmp_path / "matrix.yaml"
    path.write_text(
        "vary: {arrivals.rate: [1, 2.5], arrivals.type: [poisson]}\n"
        "exclude: [{arrivals.rate: 1}]\n"
        "repeats: 2\n"
    )
    found = matrix(path)
    assert found == Matrix(
        vary={"arrivals.rate": [1, 2.5], "arrivals.type": ["poisson"]},
        exclude=({"arrivals.rate": 1},),
        repeats=2,
    )
    assert axes(found)[0] == Axis("arrivals.rate", ("1", "2.5"))
    path.write_text("varied: {}\n")
    with pytest.raises(ScenarioError, match=r"matrix.yaml:1:1.*did you mean 'vary'"):
        matrix(path)


def test_what_is_chosen_is_called_by_its_type() -> None:
    """Engine policies as points; one with settings of its own shows them."""
    varied = axis("endpoint.engine.policy={type: colocated},{type: disaggregated, prefills: 2}")
    titles = {one.title for one in points([varied])}
    assert titles == {"policy=colocated", "policy={type: disaggregated, prefills: 2}"}
    (found,) = axes(Matrix(vary={"policy": [{"type": "layered_prefill"}]}))
    assert {one.title for one in points([found])} == {"policy=layered_prefill"}
