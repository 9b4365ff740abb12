"""A plotly figure as the plain data that plotly's script reads: traces and a layout.

Its properties are those of plotly.com/javascript/reference. plotly's own Python classes check each
of them, which takes longer than all metrics of a run; here the tests let them do that.
"""

import base64
from typing import Any, Final

import msgspec
import numpy as np

_DTYPES: Final = {"float32": "f4", "float64": "f8", "int32": "i4", "int8": "i1", "uint8": "u1"}
"""numpy's names -> those of plotly's typed arrays."""


class Figure:
    """Traces are drawn in the order in which they were added."""

    def __init__(self, layout: dict[str, Any]) -> None:
        self.traces: list[dict[str, Any]] = []
        self.layout = layout

    def add_scatter(self, **properties: Any) -> None:
        self._add("scatter", properties)

    def add_bar(self, **properties: Any) -> None:
        self._add("bar", properties)

    def _add(self, kind: str, properties: dict[str, Any]) -> None:
        given = {name: value for name, value in properties.items() if value is not None}
        self.traces.append({"type": kind, **given})

    def update_layout(self, **properties: Any) -> None:
        """What is given goes into what is there, at any depth."""
        _merge(self.layout, properties)

    def update_xaxes(self, **properties: Any) -> None:
        """Of all that there are now."""
        self._update_axes("xaxis", properties)

    def update_yaxes(self, **properties: Any) -> None:
        """Of all that there are now."""
        self._update_axes("yaxis", properties)

    def _update_axes(self, kind: str, properties: dict[str, Any]) -> None:
        for name in self.layout:
            if name.startswith(kind):
                _merge(self.layout[name], properties)

    def to_json(self) -> str:
        """Arrays travel as packed bytes."""
        whole = {"data": self.traces, "layout": self.layout}
        return msgspec.json.encode(whole, enc_hook=_packed).decode()


def _merge(into: dict[str, Any], given: dict[str, Any]) -> None:
    for name, value in given.items():
        if isinstance(value, dict) and isinstance(into.get(name), dict):
            _merge(into[name], value)
        else:
            into[name] = value


def _packed(array: Any) -> dict[str, str]:
    assert isinstance(array, np.ndarray), f"{type(array).__name__} in a figure"
    return {"dtype": _DTYPES[array.dtype.name], "bdata": base64.b64encode(array.tobytes()).decode()}
