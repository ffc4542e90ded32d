"""Run mypy on the package as it will be installed: graphs/ lies inside dagdp/. Called by `make lint`."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def main() -> int:
    """mypy's exit status."""
    tree = ROOT / ".mypy_src"
    shutil.rmtree(tree, ignore_errors=True)
    shutil.copytree(ROOT / "dagdp", tree / "dagdp", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "graphs", tree / "dagdp" / "graphs", ignore=shutil.ignore_patterns("__pycache__"))
    command = [sys.executable, "-m", "mypy", "--config-file", str(ROOT / "pyproject.toml"), "-p", "dagdp"]
    return subprocess.run(command, cwd=tree, env={**os.environ, "MYPYPATH": str(tree)}, check=False).returncode


if __name__ == "__main__":
    raise SystemExit(main())
