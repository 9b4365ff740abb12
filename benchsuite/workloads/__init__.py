"""What is asked: every choice of `workload: {type: ...}`."""

from benchsuite.workloads.questions import Questions
from benchsuite.workloads.synthetic import Synthetic
from benchsuite.workloads.trace import Trace

Workload = Synthetic | Trace | Questions

__all__ = ["Questions", "Synthetic", "Trace", "Workload"]
