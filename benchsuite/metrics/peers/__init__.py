"""PEERS: what other tools would have reported of the same records, in their names and units."""

from benchsuite.metrics.peers import aiperf, guidellm, inference_perf, mlperf, sglang, vllm
from benchsuite.metrics.peers.base import Definitions

PEERS: dict[str, Definitions] = {
    "vllm": vllm.reported,
    "sglang": sglang.reported,
    "aiperf": aiperf.reported,
    "guidellm": guidellm.reported,
    "inference-perf": inference_perf.reported,
    "mlperf": mlperf.reported,
}
