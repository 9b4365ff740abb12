"""The workloads that stand alone; a `mix` is made of them."""

from benchsuite.workloads.questions import Questions
from benchsuite.workloads.servegen import ServeGen
from benchsuite.workloads.synthetic import Synthetic
from benchsuite.workloads.trace import Trace

Single = Synthetic | Trace | Questions | ServeGen
