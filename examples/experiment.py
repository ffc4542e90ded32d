"""What the experiments share: the command line, checkpoints, result files, and the tables of a README.

An experiment runs in two steps. `train` writes what it measured as JSON, one file for each trained model, so that an
interrupted run goes on where it stopped. `report` reads those files and writes the table and the pictures of the
README. No number of a table is written by hand.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

import dagdp

EXAMPLES = Path(__file__).parent
DATA = EXAMPLES / "data"


def add_options(parser: argparse.ArgumentParser, *, out: str) -> None:
    """Add the options of every step that measures. The default output folder is examples/out/`out`."""
    parser.add_argument("--data", type=Path, help="folder with the full data; default: the sample in examples/data")
    parser.add_argument("--seed", type=int, default=0, help="of the parameters, the order of the data and splits (0)")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="threads of torch and dagdp")
    parser.add_argument("--out", type=Path, default=EXAMPLES / "out" / out, help="folder for results and checkpoints")
    parser.add_argument("--quick", action="store_true", help="a few steps on a little data, under 20 seconds")


def add_training_options(parser: argparse.ArgumentParser, *, epochs: int, out: str) -> None:
    """Add the options of a step that trains, those of `add_options` included."""
    add_options(parser, out=out)
    parser.add_argument("--epochs", type=int, default=epochs, help=f"how long to train, at most ({epochs})")
    parser.add_argument("--resume", action="store_true", help="go on from the results and the checkpoint in --out")


def ranks() -> tuple[int, int]:
    """(number of this process, number of processes) under torchrun, which are joined over gloo; else (0, 1)."""
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if world > 1 and not torch.distributed.is_initialized():
        torch.distributed.init_process_group("gloo")
    return (torch.distributed.get_rank(), world) if world > 1 else (0, 1)


def machine() -> dict[str, str]:
    """Where and with what a result was measured."""
    model = platform.processor() or platform.machine()
    described = Path("/proc/cpuinfo")
    if described.is_file():
        found = re.search(r"model name\s*:\s*(.+)", described.read_text())
        model = found[1] if found else model
    return {
        "date": datetime.date.today().isoformat(),
        "machine": f"{model}, {os.cpu_count()} cores",
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "dagdp": dagdp.__version__,
    }


def write_json(path: Path, content: Any) -> None:
    """Write the whole file or nothing: an interruption leaves the file of before."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    partial.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    partial.replace(path)


def read_json(path: Path) -> Any:
    """The content of a result file."""
    return json.loads(path.read_text(encoding="utf-8"))


class Checkpoint:
    """The state of a training run in one file, written whole or not at all. It includes torch's random numbers.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     checkpoint = Checkpoint(Path(folder) / "run.pt")
    ...     before = checkpoint.load()
    ...     checkpoint.save(epoch=3)
    ...     print(before, checkpoint.load()["epoch"])
    None 3
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def save(self, **state: Any) -> None:
        """Write the state: tensors, numbers, strings, and lists and dicts of these."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        partial = self.path.with_name(self.path.name + ".partial")
        torch.save({**state, "torch_rng": torch.get_rng_state()}, partial)
        partial.replace(self.path)

    def load(self) -> dict[str, Any] | None:
        """The state last saved, with torch's random numbers set to where they were; None where nothing was saved."""
        if not self.path.is_file():
            return None
        state: dict[str, Any] = torch.load(self.path, weights_only=True)
        torch.set_rng_state(state.pop("torch_rng"))
        return state

    def remove(self) -> None:
        """Remove the file, once the result is written."""
        self.path.unlink(missing_ok=True)


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown; the first column is aligned left, others right.

    >>> print(markdown_table(["loss", "F1"], [["CRF", "71.20"]]))
    | loss | F1 |
    |:--|--:|
    | CRF | 71.20 |
    """
    ruler = "|:--|" + "--:|" * (len(header) - 1)
    lines = ["| " + " | ".join(cells) + " |" for cells in [header, *rows]]
    return "\n".join([lines[0], ruler, *lines[1:]])


def put_between(page: Path, name: str, text: str) -> None:
    """Replace what stands between the comments `<!-- name -->` and `<!-- end of name -->` of a Markdown page."""
    first, last = f"<!-- {name} -->", f"<!-- end of {name} -->"
    before = page.read_text(encoding="utf-8")
    pattern = re.escape(first) + r".*?" + re.escape(last)
    if not re.search(pattern, before, flags=re.S):
        raise SystemExit(f"{page} has no lines {first} and {last}; expected both, with the table between them")
    after = re.sub(pattern, lambda _: f"{first}\n{text}\n{last}", before, flags=re.S)
    page.write_text(after, encoding="utf-8")
