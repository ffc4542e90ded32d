"""What every test shares: a profile for Hypothesis, options of the command line, and where optional data lies."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

ROOT = Path(__file__).resolve().parents[1]

# A worker of xdist has one core. Two threads of torch on it wait for each other in a loop: 4 s of training took 28 s.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")

settings.register_profile(
    "dagdp", deadline=None, derandomize=True, max_examples=60, suppress_health_check=list(HealthCheck)
)
settings.load_profile("dagdp")

# A script, which the collection of doctests would import, and with it Numba's CUDA.
collect_ignore = ["cuda_simulated.py"]


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options that `make test-all` takes, and one to see what kernels cost."""
    parser.addoption(
        "--exhaustive", action="store_true", help="run every combination of a product: see `combinations` in cases.py"
    )
    parser.addoption("--generic", action="store_true", help="compile every graph without specialisation")
    parser.addoption(
        "--compilations", action="store_true", help="list the kernels that tests launch, and seconds of compilation"
    )


def pytest_configure(config: pytest.Config) -> None:
    """Before any test compiles a graph."""
    if config.getoption("--generic"):
        from dagdp.compiler import specialise  # type: ignore[attr-defined]

        sys.modules[specialise.__module__].PROVE = False  # type: ignore[attr-defined]
    if config.getoption("--compilations"):
        import compilations

        compilations.watch(config)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what the command line does not ask for.

    Tests of what specialisation finds have nothing to find under --generic.
    """
    if config.getoption("--generic"):
        skip = pytest.mark.skip(reason="asks what specialisation found, which --generic switches off")
        for item in items:
            if item.get_closest_marker("specialised"):
                item.add_marker(skip)
    if not config.getoption("--exhaustive"):
        left_out = [item for item in items if item.get_closest_marker("exhaustive")]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if not item.get_closest_marker("exhaustive")]


@pytest.fixture(scope="session")
def start(request: pytest.FixtureRequest) -> Callable[..., None]:
    """Runs `python -m MODULE WORDS`: with --exhaustive in a process of its own, as a user does, else in this one.

    A process imports torch and reads kernels for 5 to 10 s. What a step sets for its process is set back.
    """

    def alone(module: str, *words: object) -> None:
        command = [sys.executable, "-m", module, *map(str, words)]
        environment = {**os.environ, "PYTHONIOENCODING": "utf-8"}
        done = subprocess.run(
            command, capture_output=True, text=True, encoding="utf-8", check=False, cwd=ROOT, env=environment
        )
        assert done.returncode == 0, done.stderr

    def here(module: str, *words: object) -> None:
        import torch

        threads, cores = torch.get_num_threads(), getattr(os, "sched_getaffinity", lambda _: None)(0)
        try:
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(sys, "argv", [module, *map(str, words)])
                importlib.import_module(f"{module}.__main__").main()
        finally:
            torch.set_num_threads(threads)
            if cores is not None:
                os.sched_setaffinity(0, cores)

    return alone if request.config.getoption("--exhaustive") else here


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of data sets beside the checkout; tests that need it skip where it is absent."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("the shared data sets are not beside this checkout (shared/data)")
    return folder
