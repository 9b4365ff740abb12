"""How a trace file is read: every choice of `source: {type: ...}`."""

from benchsuite.workloads.formats.azure import Azure
from benchsuite.workloads.formats.jsonl import Jsonl
from benchsuite.workloads.formats.mooncake import Mooncake

TraceFormat = Azure | Mooncake | Jsonl

__all__ = ["Azure", "Jsonl", "Mooncake", "TraceFormat"]
