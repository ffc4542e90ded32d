"""What every test shares: a profile for Hypothesis, and where optional data lies."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile(
    "dagdp", deadline=None, derandomize=True, max_examples=60, suppress_health_check=list(HealthCheck)
)
settings.load_profile("dagdp")

# A script, which the collection of doctests would import: numba-cuda 0.30 warns at import under NumPy 2.5.
collect_ignore = ["cuda_schedule.py"]


def pytest_addoption(parser: pytest.Parser) -> None:
    """`pytest --generic` runs the suite on graphs of which nothing is proved: every index listed, nothing hoisted."""
    parser.addoption("--generic", action="store_true", help="compile every graph without specialisation")


def pytest_configure(config: pytest.Config) -> None:
    """Before any test compiles a graph."""
    if config.getoption("--generic"):
        from dagdp.compiler import specialise  # type: ignore[attr-defined]

        sys.modules[specialise.__module__].PROVE = False  # type: ignore[attr-defined]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Tests that ask what was specialised have nothing to ask under --generic."""
    if config.getoption("--generic"):
        skip = pytest.mark.skip(reason="asks what specialisation found, which --generic switches off")
        for item in items:
            if item.get_closest_marker("specialised"):
                item.add_marker(skip)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of data sets beside the checkout; tests that need it skip where it is absent."""
    folder = Path(__file__).resolve().parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("the shared data sets are not beside this checkout (shared/data)")
    return folder
