"""How a trace file is read: every choice of `source: {type: ...}`."""

from benchsuite.workloads.formats.aiperf_dag import AIPerfDag
from benchsuite.workloads.formats.aiperf_mooncake import AIPerfMooncake
from benchsuite.workloads.formats.apex import Apex
from benchsuite.workloads.formats.azure import Azure
from benchsuite.workloads.formats.bailian import Bailian
from benchsuite.workloads.formats.bfcl import Bfcl
from benchsuite.workloads.formats.burstgpt import BurstGPT
from benchsuite.workloads.formats.hugging_face import HuggingFace
from benchsuite.workloads.formats.jsonl import Jsonl
from benchsuite.workloads.formats.mlcommons_agentic import MLCommonsAgentic
from benchsuite.workloads.formats.mooncake import Mooncake
from benchsuite.workloads.formats.openhands import OpenHands
from benchsuite.workloads.formats.otel import Otel
from benchsuite.workloads.formats.servegen import ClientPool
from benchsuite.workloads.formats.sharegpt import ShareGPT
from benchsuite.workloads.formats.swe_agent import SweAgent
from benchsuite.workloads.formats.tau_bench import TauBench
from benchsuite.workloads.formats.timed_trace import TimedTrace
from benchsuite.workloads.formats.toolbench import ToolBench
from benchsuite.workloads.formats.tracelab import TraceLab
from benchsuite.workloads.formats.vllm_custom import VllmCustom
from benchsuite.workloads.formats.weka import Weka

TraceFormat = (
    Jsonl
    | Azure
    | Mooncake
    | AIPerfMooncake
    | AIPerfDag
    | Apex
    | Bailian
    | Bfcl
    | BurstGPT
    | ClientPool
    | HuggingFace
    | MLCommonsAgentic
    | OpenHands
    | Otel
    | ShareGPT
    | SweAgent
    | TauBench
    | TimedTrace
    | ToolBench
    | TraceLab
    | VllmCustom
    | Weka
)

__all__ = [
    "AIPerfDag",
    "AIPerfMooncake",
    "Apex",
    "Azure",
    "Bailian",
    "Bfcl",
    "BurstGPT",
    "ClientPool",
    "HuggingFace",
    "Jsonl",
    "MLCommonsAgentic",
    "Mooncake",
    "OpenHands",
    "Otel",
    "ShareGPT",
    "SweAgent",
    "TauBench",
    "TimedTrace",
    "ToolBench",
    "TraceFormat",
    "TraceLab",
    "VllmCustom",
    "Weka",
]
