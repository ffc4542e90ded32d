"""`python -m examples.audio_to_score train`, then `python -m examples.audio_to_score report`."""

from __future__ import annotations

import argparse
from pathlib import Path

from examples.experiment import EXAMPLES, add_training_options

HERE = EXAMPLES / "audio_to_score"


def main() -> None:
    """Train, or write the tables and pictures of the README."""
    parser = argparse.ArgumentParser(prog="python -m examples.audio_to_score", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    train = commands.add_parser("train", help="leave one piece out, and write what was measured as JSON")
    add_training_options(train, epochs=60, out="audio_to_score")
    train.add_argument(
        "--bach10", dest="data", type=Path, help="the folder of Bach10 v1.1 (the meaning of --data here)"
    )
    for name, what in (("lambdas", "λ of end-to-end"), ("gammas", "γ"), ("pretrained-lambdas", "λ of the pretrained")):
        grid = f"candidates for {what}; where each grid has one, the inner leave-one-out is left out"
        train.add_argument(f"--{name}", type=float, nargs="+", help=grid)
    report = commands.add_parser("report", help="write tables and pictures from the results")
    report.add_argument("--out", type=Path, default=HERE / "results", help="folder with the results of train")
    report.add_argument("--bach10", type=Path, help="the folder of Bach10 v1.1, to draw pictures of results on it")
    report.add_argument("--page", type=Path, default=HERE / "README.md", help="page with the comments for the tables")
    report.add_argument("--pictures", type=Path, default=HERE / "pictures", help="folder for the pictures")
    arguments = parser.parse_args()
    if arguments.command == "train":
        from examples.audio_to_score.train import train as run
    else:
        from examples.audio_to_score.report import report as run
    run(arguments)


if __name__ == "__main__":
    main()
