"""Settings for the whole suite."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

# A slow machine is no failure: no property has a deadline.
settings.register_profile("benchsuite", deadline=None)
settings.load_profile("benchsuite")


@pytest.fixture(scope="session", autouse=True)
def _no_selftest(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Runs of the suite do not know what this machine's user has measured."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("state")
        patch.setenv("BENCHSUITE_STATE", str(folder))
        yield folder
