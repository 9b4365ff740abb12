"""Who runs next, and where: Policy = Colocated | ChunkedPrefill."""

from reference_engine.policies.chunked_prefill import ChunkedPrefill
from reference_engine.policies.colocated import Colocated

Policy = Colocated | ChunkedPrefill

__all__ = ["ChunkedPrefill", "Colocated", "Policy"]
