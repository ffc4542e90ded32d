"""What every test shares: a profile for Hypothesis, and where optional data lies."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile(
    "dagdp", deadline=None, derandomize=True, max_examples=60, suppress_health_check=list(HealthCheck)
)
settings.load_profile("dagdp")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of data sets beside the checkout; tests that need it skip where it is absent."""
    folder = Path(__file__).resolve().parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("the shared data sets are not beside this checkout (shared/data)")
    return folder
