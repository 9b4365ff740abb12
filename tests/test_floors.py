"""The house's walls, read from the imports: floors, meeting places, heavy libraries, pure rooms.

Moving a wall is fine: move its line here in the same change and say why.
"""

import ast
from collections.abc import Iterator
from itertools import takewhile
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[1]

# Rooms from the top down. A room imports from floors below it, and from itself.
FLOORS = {
    "benchsuite": [
        {"__main__"},
        {"cli"},
        {"gate"},  # many runs, judged
        # whole runs: against a server that knows the truth; many of them; some against others
        {"selftest", "sweep", "comparison"},
        # `run` ends with the report, so the report lies below
        {"runner", "catalogue", "preview", "draft"},
        {"report"},  # charts and pages of a RunResult
        {"loadgen", "results", "fitting"},  # a fit ends as a scenario
        {"scenario"},
        {"deployment"},  # reads the files that say what was measured
        {"metrics", "scenario_file"},
        {"arrivals", "workloads", "endpoints", "records", "yaml_file"},
        # what several rooms speak of: random streams; what went through an endpoint
        {"spec", "request", "streams", "exchange"},
        {"tools"},  # answers the calls of an agent
        {"message"},  # reads the files that a message shows
        {"errors"},
        {""},  # the version
    ],
    "reference_engine": [
        {"__main__"},
        {"server", "calibration", ""},  # the public face: Engine, EngineConfig, SamplingParams
        {"engine"},
        {"worker", "config"},
        {"swap", "decode_runs"},  # parts of a worker: in host memory; steps foreseen
        {"arrivals"},  # the half of a worker that others fill
        {"policies", "executors", "behaviour", "timeouts", "reading"},
        {"step", "blocks", "model", "stats", "emit_log", "encoder_cache"},
        {"model_source"},  # reads the folder that a model is in
        {"sequence", "specs", "virtual_time", "waking"},
        {"media"},
    ],
}

# The only files of benchsuite that import reference_engine; elsewhere they meet over HTTP.
MEETING = {
    "benchsuite/endpoints/in_process.py",  # runs the server's handler on virtual time
    "benchsuite/endpoints/reference_engine.py",  # its config is a section of the scenario
    "benchsuite/cli/calibrating.py",  # fits its roofline to its torch executor
    "benchsuite/catalogue.py",  # lists the policies and executors that there are
}

# Imports inside functions, by file or room.
LATE = {
    "benchsuite/cli/": "`--help` is instant: a command imports what it needs",
    "benchsuite/runner.py": "the page takes 0.15 s to load, and the numbers are written before it",
    "benchsuite/endpoints/openai_server.py": "aiohttp takes 0.2 s, and only one transport needs it",
    "benchsuite/metrics/quality.py": "math-verify is an extra that takes 1 s, for one grader",
    "benchsuite/workloads/pictures.py": "Pillow is an extra, and only JPEG needs it",
    "benchsuite/tools/check.py": "jsonschema takes 0.1 s, and only tool calls need it",
    "benchsuite/loadgen/energy_meters.py": "an extra, and only where there are boards to ask",
    "benchsuite/endpoints/in_process.py": "the engine's server takes 0.2 s; simulations need it",
    "benchsuite/workloads/formats/hugging_face.py": "an extra; one format needs it",
    "reference_engine/executors/__init__.py": "torch is loaded by an engine that computes, alone",
    "reference_engine/server/media.py": "Pillow is of the extra; texts do without",
    "reference_engine/server/planning.py": "llguidance is of the extra; plain answers do without",
}

# Functions and classes in an __init__.py, which else holds a union or a catalogue.
IN_INIT = {
    "benchsuite/metrics/__init__.py": {
        "bound",
        "metrics_for",
        "of_system",
        "summarise",
    },  # the catalogue, applied
    "benchsuite/report/charts/__init__.py": {"charts"},  # the catalogue, applied
    "reference_engine/executors/__init__.py": {"Torch", "Roofline"},  # specs without what is heavy
}

# Who may name a library that is heavy, or that we want to be able to leave.
LIBRARIES = {
    "torch": {
        "reference_engine/model/",
        "reference_engine/executors/decode_graphs.py",
        "reference_engine/executors/prefill_graphs.py",
        "reference_engine/executors/paged_executor.py",
        "reference_engine/executors/torch_executor.py",
        "reference_engine/executors/device_name.py",
    },
    "safetensors": {"reference_engine/model/"},
    "aiohttp": {"benchsuite/endpoints/aiohttp_transport.py", "reference_engine/server/app.py"},
    "httptools": {"benchsuite/endpoints/http_framing.py"},
    "httpx": set[str](),  # loading it takes as long as a short run; endpoints/control.py has a GET
    "PIL": {"benchsuite/workloads/pictures.py", "reference_engine/server/media.py"},
    "math_verify": {"benchsuite/metrics/quality.py"},
    "jsonschema": {"benchsuite/tools/check.py", "reference_engine/server/grammar.py"},
    "llguidance": {"reference_engine/server/grammar.py"},
    "plotly": set[str](),  # its script draws; its Python classes take longer than all metrics
    "tokenizers": {"benchsuite/workloads/tokenizer.py", "reference_engine/server/tokenizer.py"},
    "typer": {"benchsuite/cli/"},
    "transformers": set[str](),
    "datasets": {"benchsuite/workloads/formats/hugging_face.py"},
    "ray": {"benchsuite/loadgen/ray_workers.py"},
    "pynvml": {"benchsuite/loadgen/energy_meters.py"},
    "scipy": {"benchsuite/fitting/"},
}

# Decisions: data in, data out.
PURE = [
    "benchsuite/arrivals/",
    "benchsuite/comparison/charts.py",
    "benchsuite/comparison/comparable.py",
    "benchsuite/comparison/compare.py",
    "benchsuite/comparison/effects.py",
    "benchsuite/comparison/shift.py",
    "benchsuite/comparison/student.py",
    "benchsuite/comparison/verdicts.py",
    "benchsuite/comparison/words.py",
    "benchsuite/fitting/",
    "benchsuite/gate/limits.py",
    "benchsuite/gate/order.py",
    "benchsuite/gate/outcome.py",
    "benchsuite/gate/quantities.py",
    "benchsuite/loadgen/schedule.py",
    "benchsuite/metrics/",
    "benchsuite/report/charts/",
    "benchsuite/message.py",
    "benchsuite/request.py",
    "benchsuite/scenario.py",
    "benchsuite/streams.py",
    "benchsuite/workloads/",
    "reference_engine/behaviour.py",
    "reference_engine/blocks.py",
    "reference_engine/executors/costs.py",
    "reference_engine/policies/",
    "reference_engine/specs.py",
    "reference_engine/step.py",
]
WORLD = {"asyncio", "os", "random", "signal", "socket", "subprocess", "threading", "time"}


class Import(NamedTuple):
    file: str  # from ROOT
    line: int
    target: str  # the module, dotted
    is_late: bool  # inside a function

    def __str__(self) -> str:
        return f"{self.file}:{self.line} imports {self.target}"


def files() -> list[Path]:
    return sorted(path for package in FLOORS for path in (ROOT / package).rglob("*.py"))


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def imports() -> Iterator[Import]:
    for path in files():
        yield from _imports(name(path), tree(path), is_late=False)


def _imports(file: str, node: ast.AST, *, is_late: bool) -> Iterator[Import]:
    if isinstance(node, ast.Import):
        for one in node.names:
            yield Import(file, node.lineno, one.name, is_late)
    elif isinstance(node, ast.ImportFrom):
        assert node.level == 0, f"{file}:{node.lineno}: write the whole name"
        for one in node.names:
            yield Import(file, node.lineno, _module(node.module or "", one.name), is_late)
    is_late = is_late or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    for child in ast.iter_child_nodes(node):
        yield from _imports(file, child, is_late=is_late)


def _module(package: str, member: str) -> str:
    """`from package import member` names a module, or something in one."""
    inside = ROOT / package.replace(".", "/") / member
    return f"{package}.{member}" if inside.with_suffix(".py").exists() else package


IMPORTS = list(imports())


def package_and_room(dotted: str) -> tuple[str, str]:
    """`benchsuite.metrics.slo` -> benchsuite, metrics; a package itself has the room ''."""
    package, *rest = dotted.split(".")
    return package, rest[0] if rest else ""


def dotted(file: str) -> str:
    return file.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def height(dotted_name: str) -> int:
    package, room = package_and_room(dotted_name)
    above = list(takewhile(lambda floor: room not in floor, FLOORS[package]))
    assert len(above) < len(FLOORS[package]), f"{dotted_name} has no floor"
    return -len(above)


def test_every_room_has_a_floor() -> None:
    """One each: a new room gets its line in the table above."""
    for package, floors in FLOORS.items():
        names = [package_and_room(dotted(name(path))) for path in files()]
        rooms = {room for owner, room in names if owner == package}
        assert rooms <= set.union(*floors), "give it a floor in this file"
        assert sum(map(len, floors)) == len(set.union(*floors)), "on one floor only"


def test_imports_run_down() -> None:
    """A room knows what lies below it, and nothing beside or above."""
    ours = [one for one in IMPORTS if one.target.split(".")[0] in FLOORS]
    inside = [one for one in ours if one.target.split(".")[0] == one.file.split("/")[0]]
    assert len(inside) > 200, "the imports were read"
    up = [
        str(one)
        for one in inside
        if package_and_room(one.target) != package_and_room(dotted(one.file))
        and height(one.target) >= height(dotted(one.file))
    ]
    assert up == []


def test_a_member_does_not_import_its_own_init() -> None:
    """What members share stands beside them; the union knows them, they do not know it."""
    wrong = [
        str(one)
        for one in IMPORTS
        if not one.file.endswith("__init__.py")
        and "." in one.target
        and one.target == dotted(one.file).rpartition(".")[0]
    ]
    assert wrong == []


def test_the_packages_meet_in_few_places() -> None:
    """Suite and engine are strangers; the engine does not know the suite at all."""
    meeting = {
        one.file
        for one in IMPORTS
        if one.file.startswith("benchsuite/") and one.target.startswith("reference_engine")
    }
    assert meeting == MEETING
    assert not [
        str(one)
        for one in IMPORTS
        if one.file.startswith("reference_engine/") and one.target.startswith("benchsuite")
    ]


def test_imports_inside_functions_have_a_reason() -> None:
    """Each hides a dependency from its reader, so each place with one is named above."""
    late = {one.file for one in IMPORTS if one.is_late}
    assert not {file for file in late if not file.startswith(tuple(LATE))}
    assert not {place for place in LATE if not any(file.startswith(place) for file in late)}


@pytest.mark.parametrize("library", LIBRARIES)
def test_libraries_stay_in_their_place(library: str) -> None:
    """Heavy ones behind the one door that needs them, others where they could be changed."""
    found = {one.file for one in IMPORTS if one.target.split(".")[0] == library}
    places = LIBRARIES[library]
    assert not {file for file in found if not file.startswith(tuple(places))}
    assert not {place for place in places if not any(file.startswith(place) for file in found)}


@pytest.mark.parametrize("place", PURE)
def test_decisions_are_pure(place: str) -> None:
    """No clock, no network, no process, no randomness but a generator that is handed in."""
    inside = [one for one in IMPORTS if one.file.startswith(place)]
    assert inside, "moved: say where to"
    assert not [str(one) for one in inside if one.target.split(".")[0] in WORLD]


def test_an_init_holds_a_union_or_a_catalogue() -> None:
    """Imports, names and nothing that does something, but for what is named above."""
    found: dict[str, set[str]] = {}
    for path in files():
        if path.name == "__init__.py":
            kinds = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
            does = {node.name for node in tree(path).body if isinstance(node, kinds)}
            found |= {name(path): does} if does else {}
    assert found == IN_INIT


def test_python_s_hash_is_never_used() -> None:
    """`hash()` of a text differs from process to process."""
    calls = [
        f"{name(path)}:{node.lineno}"
        for path in files()
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "hash"
    ]
    assert calls == []


def test_every_file_says_what_it_is_for() -> None:
    """A docstring at the top, but for an empty __init__.py."""
    for path in files():
        text = path.read_text(encoding="utf-8")
        if text.strip():
            doc = ast.get_docstring(ast.parse(text))
            assert doc, f"{name(path)}: no docstring"
