"""What is asked: every choice of `workload: {type: ...}`. All but `mix` stand in `single.py`."""

from benchsuite.workloads.agent import Agent
from benchsuite.workloads.mix import Mix
from benchsuite.workloads.multimodal import Multimodal
from benchsuite.workloads.questions import Questions
from benchsuite.workloads.resampled import Resampled
from benchsuite.workloads.servegen import ServeGen
from benchsuite.workloads.single import Single
from benchsuite.workloads.synthetic import Synthetic
from benchsuite.workloads.tool_use import ToolUse
from benchsuite.workloads.trace import Trace

Workload = Single | Mix

__all__ = [
    "Agent",
    "Mix",
    "Multimodal",
    "Questions",
    "Resampled",
    "ServeGen",
    "Synthetic",
    "ToolUse",
    "Trace",
    "Workload",
]
