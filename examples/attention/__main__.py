"""The command line: python -m examples.attention {train,speed,report}."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from examples.attention import report, speed, train
from examples.attention.model import OMEGAS
from examples.experiment import add_training_options

HERE = Path(__file__).parent


def main(words: Sequence[str] | None = None) -> None:
    """Run one of the three commands, with these words or those of the command line."""
    parser = argparse.ArgumentParser(prog="python -m examples.attention", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, work, does in (
        ("train", train.train, "train the attentions one after another, and write a result file for each"),
        ("speed", speed.speed, "measure training tokens a second of the three, in turn on the same batches"),
    ):
        command = commands.add_parser(name, help=does, description=does)
        command.set_defaults(work=work)
        add_training_options(command, epochs=train.EPOCHS, out="attention")
        command.set_defaults(epochs=None)
        command.add_argument("--attention", nargs="+", choices=list(OMEGAS), default=list(OMEGAS), help="default: all")
        command.add_argument("--pairs", type=int, default=30_000, help="training pairs at most (30000)")
        if name == "speed":
            command.add_argument("--rounds", type=int, default=60, help="batches on which each is measured (60)")
    does = "write the tables of the README and the pictures from the result files; no model is needed"
    command = commands.add_parser("report", help=does, description=does)
    command.set_defaults(work=report.report)
    command.add_argument("--results", type=Path, default=HERE / "results", help="folder with the result files")
    command.add_argument("--page", type=Path, default=HERE / "README.md", help="page whose tables are written")
    command.add_argument("--pictures", type=Path, default=HERE / "pictures", help="folder for the pictures")
    arguments = parser.parse_args(words)
    arguments.work(arguments)


if __name__ == "__main__":
    main()
