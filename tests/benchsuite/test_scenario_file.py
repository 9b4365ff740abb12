"""What a scenario file may not say, and what is answered: file:line:column: key: what to do."""

from pathlib import Path
from typing import get_args

import msgspec
import pytest

from benchsuite import scenario
from benchsuite.arrivals import Arrivals
from benchsuite.errors import ScenarioError
from benchsuite.metrics.slo import Slo
from benchsuite.scenario_file import convert
from benchsuite.spec import Count, Seconds, Spec
from benchsuite.yaml_file import MAX_FILE_BYTES, read

BASE = """\
name: chat
seed: 1
endpoint: {type: openai_chat, url: "http://127.0.0.1:18080", model: m}
workload:
  type: synthetic
  prompt_tokens: {type: fixed, value: 64}
  output_tokens: {type: fixed, value: 100}
arrivals: {type: poisson, rate: 8}
limits: {requests: 10}
"""


def _tags(union: object) -> str:
    return ", ".join(sorted(str(one.__struct_config__.tag) for one in get_args(union)))


def _fields(kind: type[msgspec.Struct]) -> str:
    return ", ".join(sorted(one.encode_name for one in msgspec.structs.fields(kind)))


ARRIVALS = _tags(Arrivals)
TOP = _fields(scenario.Scenario)
SLO = _fields(Slo)
DURATION = "expected a duration such as 500ms, 2s or 0.5"
ROOFLINE = "endpoint: {type: in_process, engine: {executor: {type: roofline, device: %s}}}"


def edited(*lines: str) -> str:
    """BASE with these top-level lines in the place of those with their key; others follow it."""
    text = BASE.splitlines()
    for line in lines:
        key = line.partition(":")[0]
        found = [index for index, one in enumerate(text) if one.startswith(key + ":")]
        if found:
            text[found[0]] = line
        else:
            text.append(line)
    return "\n".join(text) + "\n"


def problems(folder: Path, text: str | bytes, *overrides: str) -> list[str]:
    """The lines of the error, without the folder's name."""
    path = folder / "s.yaml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    with pytest.raises(ScenarioError) as raised:
        scenario.load(path, overrides)
    return str(raised.value).replace(f"{folder}/", "").splitlines()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            edited("arrivals: {type: poisson, rate: 8"),
            "s.yaml:9:7: expected ',' or '}', but got ':' "
            "(while parsing a flow mapping, from 8:11)",
        ),
        (
            BASE.replace("  type: synthetic", "\ttype: synthetic"),
            "s.yaml:5:1: found character '\\t' that cannot start any token; indent with spaces "
            "(while scanning for the next token)",
        ),
        (edited("name: a: b"), "s.yaml:1:8: mapping values are not allowed here"),
        (BASE + "seed: 2\n", "s.yaml:10:1: seed: the key is there already, in line 2"),
        (
            edited("arrivals: {type: poisson, rate: 8, rate: 9}"),
            "s.yaml:8:36: arrivals.rate: the key is there already, in line 8",
        ),
        (edited("arrivals: *usual"), "s.yaml:8:11: found undefined alias 'usual'"),
        (edited("? [a]\n: 1"), "s.yaml:10:3: expected text as a key, got a list or more keys"),
        (
            edited("slo:\n  a: &a {ttft: 1s}\n  b: {<<: *a, tpot: 1s}"),
            "s.yaml:12:7: `<<` is not in YAML 1.2; write the keys out",
        ),
        (edited("name: !secret x"), "s.yaml:1:7: the tag !secret is not known here"),
        (
            edited("name: !!python/object:os.system x"),
            "s.yaml:1:7: the tag tag:yaml.org,2002:python/object:os.system is not known here",
        ),
        (edited("name: a\0b"), "s.yaml:1:8: the character U+0000 may not stand in YAML"),
        (
            BASE + "---\n" + BASE,
            "s.yaml:10:1: but found another document "
            "(expected a single document in the stream, from 1:1)",
        ),
        ("", "s.yaml:1:1: expected keys and values, such as `name: my-run`, got nothing"),
        (
            "# nothing\n",
            "s.yaml:1:1: expected keys and values, such as `name: my-run`, got nothing",
        ),
        ("- a\n- b\n", "s.yaml:1:1: expected keys and values, such as `name: my-run`, got a list"),
        ("chat\n", "s.yaml:1:1: expected keys and values, such as `name: my-run`, got 'chat'"),
        (b"name: chat\nseed: \xff\n", "s.yaml:2: not UTF-8 text; save the file as UTF-8"),
        (BASE.encode("utf-16"), "s.yaml:1: not UTF-8 text; save the file as UTF-8"),
        ("a: " + "[" * 500 + "]" * 500, "s.yaml: nested too deeply, or inside itself"),
        ("a: &a\n  b: *a\n", "s.yaml: nested too deeply, or inside itself"),
        (
            "a: &a [0,0,0,0,0,0,0,0,0,0]\n"
            + "".join(
                f"{name}: &{name} [{','.join([f'*{before}'] * 10)}]\n"
                for before, name in zip("abcdefgh", "bcdefghi", strict=True)
            ),
            "s.yaml:1:26: more than 100,000 values, aliases included",
        ),
        ("x" * (MAX_FILE_BYTES + 1), "s.yaml: larger than 1,048,576 bytes; is it a scenario?"),
        (
            edited("seed: 9223372036854775808"),
            "s.yaml:2:7: the number 9223372036854775808 does not fit 64 bits",
        ),
        (edited("limits: {duration: .inf}"), "s.yaml:9:20: expected a finite number, got .inf"),
        (edited("limits: {duration: -.INF}"), "s.yaml:9:20: expected a finite number, got -.INF"),
        (edited("limits: {duration: 1e999}"), "s.yaml:9:20: expected a finite number, got 1e999"),
        (edited("limits: {duration: .nan}"), "s.yaml:9:20: expected a finite number, got .nan"),
    ],
)
def test_what_is_not_yaml(tmp_path: Path, text: str | bytes, expected: str) -> None:
    """The place, the parser's words, and what to do where they leave that open."""
    assert problems(tmp_path, text) == [expected]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        # unknown keys, choices and values
        ("sed: 2", f"10:1: sed: unknown field (did you mean 'seed'? known: {TOP})"),
        ("1: 2", f"10:1: 1: unknown field (known: {TOP})"),
        (
            "arrivals: {type: gamma, rate: 1, burstines: 2}",
            "8:34: arrivals.burstines: unknown field "
            "(did you mean 'burstiness'? known: burstiness, rate, type)",
        ),
        (
            "slo: {default: {tfft: 1s}}",
            f"10:17: slo.default.tfft: unknown field (did you mean 'ttft'? known: {SLO})",
        ),
        (
            ROOFLINE % "{memory: 1, bytes_per_s: 1, memory_bytes: 1, peak_flops_per_s: 1}",
            "3:75: endpoint.engine.executor.device.memory: unknown field "
            "(did you mean 'memory_bytes'? known: bytes_per_s, host_bytes_per_s, memory_bytes, "
            "peak_flops_per_s)",
        ),
        (
            "arrivals: {type: gama, rate: 8}",
            f"8:12: arrivals.type: unknown type 'gama' (did you mean 'gamma'? known: {ARRIVALS})",
        ),
        ("arrivals: {type: 5}", f"8:12: arrivals.type: unknown type 5 (known: {ARRIVALS})"),
        (
            "arrivals: {type: [poisson]}",
            f"8:12: arrivals.type: unknown type a list of one (known: {ARRIVALS})",
        ),
        (
            "capture: texts",
            "10:1: capture: unknown value 'texts' (did you mean 'text'? known: none, text)",
        ),
        # missing keys
        ("arrivals: {rate: 8}", f"8:1: arrivals: needs `type`, one of: {ARRIVALS}"),
        ("arrivals: {type: gamma}", "8:1: arrivals: needs `rate`"),
        (
            "arrivals: {type: ramp, points: [{at: 0, rate: 1}, {at: 1s}]}",
            "8:51: arrivals.points[1]: needs `rate`",
        ),
        # the wrong kind
        ("name: 12", "1:1: name: expected text, got 12; put it in quotes"),
        ("name:", "1:1: name: expected text, got nothing"),
        ("seed: one", "2:1: seed: expected a whole number, got the text 'one'"),
        ("seed: 1.5", "2:1: seed: expected a whole number, got 1.5"),
        ("seed: true", "2:1: seed: expected a whole number, got true"),
        ("seed: 1_000", "2:1: seed: expected a whole number, got the text '1_000'"),
        ("seed: {a: 1}", "2:1: seed: expected a whole number, got keys and values"),
        ("limits: {requests: 1.5}", "9:10: limits.requests: expected a whole number, got 1.5"),
        ("limits: 5", "9:1: limits: expected keys and values, got 5"),
        (
            'arrivals: {type: poisson, rate: "8"}',
            "8:27: arrivals.rate: expected a number, got the text '8'",
        ),
        (
            "arrivals: poisson",
            f"8:1: arrivals: expected `{{type: ...}}` with a type of: {ARRIVALS}; got 'poisson'",
        ),
        (
            "arrivals:",
            f"8:1: arrivals: expected `{{type: ...}}` with a type of: {ARRIVALS}; got nothing",
        ),
        (
            'endpoint: {type: openai_chat, url: "http://x", verify: no}',
            "3:48: endpoint.verify: expected true or false, got the text 'no'",
        ),
        ("slo: [1, 2]", "10:1: slo: expected keys and values, got a list"),
        ("slo: {default: }", "10:7: slo.default: expected keys and values, got nothing"),
        (
            "arrivals: {type: ramp, points: {at: 0}}",
            "8:24: arrivals.points: expected a list, got keys and values",
        ),
        # out of range
        ("arrivals: {type: poisson, rate: 0}", "8:27: arrivals.rate: expected a number > 0, got 0"),
        ("limits: {requests: 0}", "9:10: limits.requests: expected a whole number >= 1, got 0"),
        ("limits: {warmup: -0.5}", "9:10: limits.warmup: expected a number >= 0, got -0.5"),
        ('tokenizer: ""', "10:1: tokenizer: expected text of length >= 1, got the text ''"),
        (
            "arrivals: {type: ramp, points: [{at: 0, rate: 1}]}",
            "8:24: arrivals.points: expected a list of length >= 2, got a list of one",
        ),
        # durations
        ("limits: {duration: 5 sec}", f"9:10: limits.duration: {DURATION}, got '5 sec'"),
        ("limits: {duration: -5s}", f"9:10: limits.duration: {DURATION}, got '-5s'"),
        ('limits: {duration: "5"}', f"9:10: limits.duration: {DURATION}, got '5'"),
        ("limits: {warmup: 1:30}", f"9:10: limits.warmup: {DURATION}, got '1:30'"),
        ("limits: {duration: true}", "9:10: limits.duration: expected a number, got true"),
        ("slo: {default: {ttft: 1 min}}", f"10:17: slo.default.ttft: {DURATION}, got '1 min'"),
        # a section's own words
        (
            "limits: {duration: 5s, warmup: 5s}",
            "9:1: limits: the warm-up of 5 s leaves nothing of 5 s to measure",
        ),
        (
            "arrivals: {type: ramp, points: [{at: 1, rate: 1}, {at: 2, rate: 1}]}",
            "8:1: arrivals: the first point must be at 0",
        ),
        (
            ROOFLINE % "h300",
            "3:39: endpoint.engine.executor: unknown device 'h300' "
            "(known: a100, h100, h200, l4, rtx-4090, cpu)",
        ),
        (
            'endpoint: {type: openai_chat, url: "localhost:8000"}',
            "3:1: endpoint: url: expected http://... or https://..., got 'localhost:8000'",
        ),
        # references
        (
            'endpoint: {type: openai_chat, url: "http://x", api_key: "${KEY}"}',
            "3:48: endpoint.api_key: expected a reference like ${env:NAME}, got '${KEY}'",
        ),
        (
            'endpoint: {type: openai_chat, url: "http://x", model: "${env:MODEL}"}',
            "3:48: endpoint.model: variables are not looked up here, got '${env:MODEL}'",
        ),
    ],
)
def test_what_is_not_a_scenario(tmp_path: Path, line: str, expected: str) -> None:
    """The place of the key, its path, what was expected and what was found."""
    assert problems(tmp_path, edited(line)) == [f"s.yaml:{expected}"]


def test_a_missing_key_at_the_top(tmp_path: Path) -> None:
    """There is no key to point at: the file's beginning."""
    assert problems(tmp_path, BASE.replace("name: chat\n", "")) == ["s.yaml:1:1: needs `name`"]


def test_a_question_in_its_template(tmp_path: Path) -> None:
    """What a nested section refuses in its own words comes out with its place too."""
    workload = (
        "workload: {type: questions, path: q.jsonl, grader: number, max_output_tokens: 5,"
        " template: Answer}"
    )
    text = edited(workload)
    text = "\n".join(line for line in text.splitlines() if not line.startswith("  "))
    assert problems(tmp_path, text) == ["s.yaml:4:1: workload: template: expected {question} in it"]


def test_all_problems_at_once(tmp_path: Path) -> None:
    """One run of `check` is enough; the order is that of the file."""
    text = edited(
        "seed: x",
        "arrivals: {type: gama}",
        "limits: {requests: 0, duraton: 3, warmup: 3 min}",
        "slo: {default: {ttft: -1}, batch: {tpot: fast}}",
        "sloo: 1",
    )
    found = problems(tmp_path, text)
    assert [one.split(": ")[:2] for one in found] == [
        ["s.yaml:2:1", "seed"],
        ["s.yaml:8:12", "arrivals.type"],
        ["s.yaml:9:10", "limits.requests"],
        ["s.yaml:9:23", "limits.duraton"],
        ["s.yaml:9:35", "limits.warmup"],
        ["s.yaml:10:17", "slo.default.ttft"],
        ["s.yaml:10:36", "slo.batch.tpot"],
        ["s.yaml:11:1", "sloo"],
    ]


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("arrivals.rate", "expected key.path=value, such as arrivals.rate=4"),
        ("=4", "expected key.path=value, such as arrivals.rate=4"),
        ("arrivals..rate=4", "expected key.path=value, such as arrivals.rate=4"),
        (".rate=4", "expected key.path=value, such as arrivals.rate=4"),
        (
            "arrivals.rate=[1",
            "expected ',' or ']', but got '<stream end>' (while parsing a flow sequence, from 1:1)",
        ),
        ("arrivals.rate={a: 1, a: 2}", "a: the key is there already, in line 1"),
        ("arrivals.rate=0", "arrivals.rate: expected a number > 0, got 0"),
        ("arrivals.rat=1", "arrivals.rat: unknown field (did you mean 'rate'? known: rate, type)"),
        (
            "arrivals={type: gama}",
            f"arrivals.type: unknown type 'gama' (did you mean 'gamma'? known: {ARRIVALS})",
        ),
        (
            "arrivals={type: ramp, points: [{at: 0, rate: x}, {at: 1, rate: 1}]}",
            "arrivals.points[0].rate: expected a number, got the text 'x'",
        ),
        ("name=12", "name: expected text, got 12; put it in quotes"),
        ("seed=", "seed: expected a whole number, got nothing"),
        ("slo.fast.ttft=soon", f"slo.fast.ttft: {DURATION}, got 'soon'"),
        ("workload.prompt_tokens.values.7=1", "'7' is not an index into 2 items (0 is first)"),
        ("workload.prompt_tokens.values[7]=1", "'7' is not an index into 2 items (0 is first)"),
        (
            "workload.prompt_tokens.values.first=1",
            "'first' is not an index into 2 items (0 is first)",
        ),
        (
            "workload.prompt_tokens.values[1]=0",
            "workload.prompt_tokens.values[1]: expected a whole number >= 1, got 0",
        ),
    ],
)
def test_what_cannot_be_set(tmp_path: Path, override: str, expected: str) -> None:
    """The place of a value given with --set is that argument, not the line that it replaced."""
    text = BASE.replace("{type: fixed, value: 64}", "{type: empirical, values: [1, 2]}")
    assert problems(tmp_path, text, override) == [f"--set {override}: {expected}"]


def test_a_type_set_alone_leaves_the_other_keys(tmp_path: Path) -> None:
    """They are named where they stand in the file."""
    found = problems(tmp_path, BASE, "arrivals.type=closed_loop")
    assert found == [
        "s.yaml:8:1: arrivals: needs `concurrency`",
        "s.yaml:8:27: arrivals.rate: unknown field (known: concurrency, type)",
    ]


class Inner(Spec, frozen=True):
    size: Count = 1


class Odd(Spec, frozen=True):
    """Types that no section has today."""

    pair: tuple[Inner, ...] = ()
    by_name: dict[str, tuple[Seconds, ...]] = {}
    either: int | str | None = None
    nested: Inner | None = None


def odd(folder: Path, text: str) -> Odd:
    path = folder / "odd.yaml"
    path.write_text(text)
    return convert(read(path), Odd)


def test_values_of_any_type(tmp_path: Path) -> None:
    """Sections in lists, lists in tables, values of several kinds: durations are found in each."""
    assert odd(tmp_path, "by_name: {a: [1s, 500ms, 2]}\neither: x\nnested: {size: 2.0}\n") == Odd(
        by_name={"a": (1.0, 0.5, 2.0)}, either="x", nested=Inner(size=2)
    )
    assert odd(tmp_path, "pair: [{}, {size: 3}]\nnested:\n") == Odd(pair=(Inner(), Inner(size=3)))


def test_problems_in_any_type(tmp_path: Path) -> None:
    """The path leads to the very value."""
    with pytest.raises(ScenarioError) as raised:
        odd(tmp_path, "pair: [{size: 0}]\nby_name: {a: [1s, soon]}\neither: 1.5\nnested: {sise: 1}")
    assert str(raised.value).replace(f"{tmp_path}/", "").splitlines() == [
        "odd.yaml:1:9: pair[0].size: expected a whole number >= 1, got 0",
        f"odd.yaml:2:19: by_name.a[1]: {DURATION}, got 'soon'",
        "odd.yaml:3:1: either: expected a whole number or text, got 1.5",
        "odd.yaml:4:10: nested.sise: unknown field (did you mean 'size'? known: size)",
    ]


def test_nothing_passes_that_msgspec_refuses(tmp_path: Path) -> None:
    """The check and the types agree: what is answered is an equal object to msgspec's own."""
    path = tmp_path / "s.yaml"
    path.write_text(BASE)
    plain = msgspec.convert(read(path).value, scenario.Scenario)
    assert scenario.load(path) == plain
