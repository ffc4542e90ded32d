"""The package's kernel runs in Numba's CUDA simulator: a smoke test, in a process that reads the variable at import."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def test_the_kernel_runs_in_the_cuda_simulator():
    script = Path(__file__).with_name("cuda_simulated.py")
    environment = {**os.environ, "NUMBA_ENABLE_CUDASIM": "1"}
    done = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, env=environment, timeout=300, check=False
    )
    assert done.returncode == 0, (done.stdout, done.stderr)
