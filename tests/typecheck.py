"""Run mypy on the package. Called by `make lint`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def main() -> int:
    """mypy's exit status."""
    return subprocess.run([sys.executable, "-m", "mypy", "-p", "dagdp"], cwd=ROOT, check=False).returncode


if __name__ == "__main__":
    raise SystemExit(main())
