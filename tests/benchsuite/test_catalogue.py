"""What there is to choose from."""

import json
from io import StringIO
from typing import get_args

import msgspec
import pytest
from rich.console import Console

from benchsuite import catalogue
from benchsuite.errors import ScenarioError
from benchsuite.metrics import METRICS, bound, of_system
from benchsuite.metrics.system import UNTOLD

KINDS = {
    "arrivals",
    "endpoints",
    "executors",
    "lengths",
    "durations",
    "tools",
    "priorities",
    "metrics",
    "policies",
    "slo_presets",
    "trace_formats",
    "workloads",
}


def test_every_kind_lists_its_union() -> None:
    """Names are the `type` of the YAML, in the order of the union; metrics in the catalogue's."""
    found = catalogue.catalogue()
    assert found.keys() == KINDS
    for kind, union in catalogue.CHOICES.items():
        tags = [one.__struct_config__.tag for one in get_args(union)]
        assert [entry["name"] for entry in found[kind]] == tags
    every = METRICS + of_system({}, UNTOLD) + bound({})
    assert [entry["name"] for entry in found["metrics"]] == [metric.name for metric in every]


def test_every_entry_says_what_it_is() -> None:
    """A title of one sentence, from the class itself; which keys there are and which it needs."""
    for kind, entries in catalogue.catalogue().items():
        for entry in entries:
            assert entry["title"], f"{kind} {entry['name']} has no docstring"
            assert "\n" not in entry["title"]
    gamma = next(one for one in catalogue.catalogue()["arrivals"] if one["name"] == "gamma")
    assert gamma["fields"] == {"rate": "required", "burstiness": "optional"}
    chat = next(one for one in catalogue.catalogue()["endpoints"] if one["name"] == "openai_chat")
    assert "body" in chat["fields"], "the key as it stands in YAML"


def test_one_kind_alone() -> None:
    """By its name; an unknown one is answered with those there are."""
    assert catalogue.catalogue("policies").keys() == {"policies"}
    with pytest.raises(ScenarioError, match=r"list polices: unknown kind \(known: arrivals, .*"):
        catalogue.catalogue("polices")


def test_for_programs() -> None:
    """`--json` prints the same as one JSON object."""
    assert json.loads(catalogue.as_json(None)) == msgspec.to_builtins(catalogue.catalogue())


def test_for_people() -> None:
    """One table a kind; required keys have a star."""
    out = StringIO()
    catalogue.show(Console(file=out, width=200), None)
    text = out.getvalue()
    for entries in catalogue.catalogue().values():
        assert all(entry["name"] in text for entry in entries)
    assert "rate*, burstiness" in text
    assert "trace formats" in text
