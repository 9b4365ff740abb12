"""How evenly tenants were served: Jain's index of what each of them got."""

import numpy as np

from benchsuite.records.table import FloatArray, RunData


def jain(service: FloatArray) -> float:
    """(sum x)^2 / (n sum x^2) of n shares: 1 if all are equal, 1 / n if one has everything; NaN
    where there is nothing to share. Jain, Chiu and Hawe, DEC-TR-301, 1984."""
    squares = len(service) * float((service**2).sum())
    return float(service.sum()) ** 2 / squares if squares else np.nan


def tenant_fairness(data: RunData) -> FloatArray:
    """Jain's index over tenants of their output tokens / those that they asked for, of requests
    due in the measurement window: 1 if all got the same share, 1 / tenants if one got everything.
    Requests that failed got nothing. Source: Jain et al., DEC-TR-301, 1984."""
    return np.array([jain(_shares(data))])


def lacks_tenants(data: RunData) -> str | None:
    return None if len(_shares(data)) > 1 else "it takes two tenants"


def _shares(data: RunData) -> FloatArray:
    """Of each tenant that asked for anything in the window, in the order of their names."""
    counted = data.in_window & (np.array(data.tenant, dtype=str) != "")
    names, tenant = np.unique(np.array(data.tenant, dtype=str)[counted], return_inverse=True)
    got = np.where(data.ok, data.output_tokens, 0)[counted]
    asked = np.bincount(tenant, data.output_tokens_asked[counted], minlength=len(names))
    share = np.bincount(tenant, got, minlength=len(names))[asked > 0] / asked[asked > 0]
    found: FloatArray = share.astype(np.float64, copy=False)
    return found
