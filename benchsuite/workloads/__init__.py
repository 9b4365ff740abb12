"""What is asked: every choice of `workload: {type: ...}`. All but `mix` stand in `single.py`."""

from benchsuite.workloads.mix import Mix
from benchsuite.workloads.questions import Questions
from benchsuite.workloads.servegen import ServeGen
from benchsuite.workloads.single import Single
from benchsuite.workloads.synthetic import Synthetic
from benchsuite.workloads.trace import Trace

Workload = Single | Mix

__all__ = ["Mix", "Questions", "ServeGen", "Synthetic", "Trace", "Workload"]
