"""Who runs next, and where: one Policy of several."""

from reference_engine.policies.chunked_prefill import ChunkedPrefill
from reference_engine.policies.colocated import Colocated
from reference_engine.policies.deadline import Deadline
from reference_engine.policies.disaggregated import Disaggregated
from reference_engine.policies.encode_prefill_decode import EncodePrefillDecode
from reference_engine.policies.layered_prefill import LayeredPrefill

Policy = (
    Colocated | ChunkedPrefill | LayeredPrefill | Deadline | Disaggregated | EncodePrefillDecode
)

__all__ = [
    "ChunkedPrefill",
    "Colocated",
    "Deadline",
    "Disaggregated",
    "EncodePrefillDecode",
    "LayeredPrefill",
    "Policy",
]
