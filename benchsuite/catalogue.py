"""What there is to choose from, read from the unions and the metric catalogue themselves, so that
`benchsuite list`, the documentation and the code cannot disagree.
"""

import inspect
from typing import Any, Final, get_args

import msgspec
from rich.console import Console
from rich.table import Table

from benchsuite.arrivals import Arrivals
from benchsuite.endpoints import Endpoint
from benchsuite.errors import ScenarioError
from benchsuite.metrics import METRICS, bound, of_system
from benchsuite.metrics.slo_presets import PRESETS
from benchsuite.metrics.system import UNTOLD
from benchsuite.workloads import Workload
from benchsuite.workloads.durations import Durations
from benchsuite.workloads.formats import TraceFormat
from benchsuite.workloads.lengths import Lengths
from benchsuite.workloads.priorities import Priorities
from benchsuite.workloads.tools import AgentTool
from reference_engine.executors import Executor
from reference_engine.policies import Policy

CHOICES: Final = {
    "arrivals": Arrivals,
    "workloads": Workload,
    "lengths": Lengths,
    "priorities": Priorities,
    "durations": Durations,
    "tools": AgentTool,
    "trace_formats": TraceFormat,
    "endpoints": Endpoint,
    "policies": Policy,
    "executors": Executor,
}


def catalogue(kind: str | None = None) -> dict[str, list[dict[str, Any]]]:
    """Kind -> entries, each with name, title and what belongs to its kind."""
    found = {name: [_choice(one) for one in get_args(union)] for name, union in CHOICES.items()}
    found["metrics"] = [
        {
            "name": metric.name,
            "title": metric.title,
            "unit": metric.unit,
            "better": metric.better,
            "shape": metric.shape,
            "source": metric.source,
            "doc": metric.doc,
        }
        for metric in METRICS + of_system({}, UNTOLD) + bound({})
    ]
    found["slo_presets"] = [
        {"name": name, "title": preset.source, "fields": dict.fromkeys(preset.keys, "optional")}
        for name, preset in PRESETS.items()
    ]
    if kind is None:
        return found
    if kind not in found:
        raise ScenarioError(f"list {kind}: unknown kind (known: {', '.join(sorted(found))})")
    return {kind: found[kind]}


def _choice(spec: type[msgspec.Struct]) -> dict[str, Any]:
    info = msgspec.inspect.type_info(spec)
    assert isinstance(info, msgspec.inspect.StructType)
    fields = {one.encode_name: "required" if one.required else "optional" for one in info.fields}
    return {"name": str(info.tag), "title": _first_line(spec), "fields": fields}


def _first_line(spec: type) -> str:
    return (inspect.getdoc(spec) or "").partition("\n")[0]


def as_json(kind: str | None) -> str:
    return msgspec.json.format(msgspec.json.encode(catalogue(kind))).decode()


def show(console: Console, kind: str | None) -> None:
    for name, entries in catalogue(kind).items():
        table = Table(title=name.replace("_", " "), title_justify="left", title_style="bold")
        table.add_column("name", style="cyan", no_wrap=True)
        table.add_column("what it is")
        table.add_column("unit" if name == "metrics" else "keys (* required)")
        for entry in entries:
            last = entry.get("unit", "")  # some metrics have none
            if "fields" in entry:
                needs = entry["fields"].items()
                last = ", ".join(f"{key}*" if how == "required" else key for key, how in needs)
            table.add_row(entry["name"], entry["title"], last)
        console.print(table)
