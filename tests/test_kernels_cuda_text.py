"""The recursion and the operators are written for CUDA too: in Numba's simulator, and on a device if there is one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

NO_DEVICE = 77  # as cuda_schedule.py says; not imported, since that imports Numba's CUDA


def run_schedule(simulated: bool) -> subprocess.CompletedProcess[str]:
    """The script in a process of its own: Numba reads the variable once, at import."""
    script = Path(__file__).with_name("cuda_schedule.py")
    environment = {**os.environ, "NUMBA_ENABLE_CUDASIM": str(int(simulated))}
    return subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, env=environment, timeout=300, check=False
    )


def test_recursion_and_operators_run_in_the_cuda_simulator():
    done = run_schedule(simulated=True)
    assert done.returncode == 0, (done.stdout, done.stderr)


@pytest.mark.gpu
def test_recursion_and_operators_run_on_a_device():
    done = run_schedule(simulated=False)
    if done.returncode == NO_DEVICE:
        pytest.skip("no CUDA device")
    assert done.returncode == 0, (done.stdout, done.stderr)
