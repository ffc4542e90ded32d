"""The recursion and the operators are written for CUDA too: they run in Numba's simulator."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def test_recursion_and_operators_run_in_the_cuda_simulator():
    script = Path(__file__).with_name("cuda_schedule.py")
    environment = {**os.environ, "NUMBA_ENABLE_CUDASIM": "1"}
    done = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, env=environment, timeout=300, check=False
    )
    assert done.returncode == 0, (done.stdout, done.stderr)
