"""Every benchmark, one process after another, each writing its section of docs/benchmarks.md.

Usage: python tests/bench/run_all.py [--quick] [script ...]

Rivals that are not installed are reported so: pip install -c constraints.txt -e ".[peers]" after torch.
bench_cuda.py needs a CUDA device, and is run by itself.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).parent
SCRIPTS = sorted(path.name for path in FOLDER.glob("bench_*.py") if path.name != "bench_cuda.py")


def main() -> int:
    """0, or 1 if a script failed; the others run all the same."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scripts", nargs="*", help=f"default: {' '.join(SCRIPTS)}")
    parser.add_argument("--quick", action="store_true", help="fewer repetitions")
    options = parser.parse_args()
    failed = []
    for script in options.scripts or SCRIPTS:
        print(f"\n== {script}", flush=True)
        command = [sys.executable, "-W", "ignore", str(FOLDER / script), "--write", *["--quick"] * options.quick]
        if subprocess.run(command, check=False).returncode:
            failed.append(script)
    if failed:
        print(f"\nfailed, their sections are unchanged: {', '.join(failed)}")
    return len(failed) > 0


if __name__ == "__main__":
    raise SystemExit(main())
