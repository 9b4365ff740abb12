"""Fairness among tenants."""

import numpy as np
import pytest

from benchsuite.metrics.fairness import jain, lacks_tenants, tenant_fairness
from tests.runs import failed, record, run


def test_a_tenant_that_gets_nothing_makes_it_a_half() -> None:
    """A failed request is service that was not given; one without a tenant is nobody's."""
    data = run(
        record(0, tenant="a"),
        failed(1, tenant="b", output_tokens_asked=4),
        record(2),
    )
    assert lacks_tenants(data) is None
    assert tenant_fairness(data)[0] == 0.5


def test_who_asks_for_more_is_not_favoured() -> None:
    """Shares of what was asked are compared, not amounts."""
    twice = tuple((0.1 * i, 1) for i in range(1, 9))
    data = run(record(0, tenant="a"), record(1, tenant="b", chunks=twice))
    assert tenant_fairness(data)[0] == pytest.approx(1.0)


def test_without_tenants_it_is_absent() -> None:
    """One tenant is treated like himself."""
    assert lacks_tenants(run(record(0, tenant="a"), record(1)))
    assert lacks_tenants(run(record(0)))
    assert np.isnan(jain(np.zeros(3)))
