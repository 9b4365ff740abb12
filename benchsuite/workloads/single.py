"""The workloads that stand alone; a `mix` is made of them."""

from benchsuite.workloads.agent import Agent
from benchsuite.workloads.multimodal import Multimodal
from benchsuite.workloads.questions import Questions
from benchsuite.workloads.resampled import Resampled
from benchsuite.workloads.servegen import ServeGen
from benchsuite.workloads.synthetic import Synthetic
from benchsuite.workloads.tool_use import ToolUse
from benchsuite.workloads.trace import Trace

Single = Synthetic | Trace | Questions | Resampled | ServeGen | Multimodal | ToolUse | Agent
