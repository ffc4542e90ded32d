"""The command line: python -m examples.ner train | crfsuite | inspect | report."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from examples.experiment import EXAMPLES, add_options, add_training_options
from examples.ner.data import LANGUAGES
from examples.ner.model import LOSSES, TABLE_1

RATES = {"lstm": [0.03, 0.1, 0.3], "features": [0.02]}


def arguments(given: Sequence[str] | None = None) -> argparse.Namespace:
    """What the command line asks for, with defaults that depend on other options filled in."""
    parser = argparse.ArgumentParser(prog="python -m examples.ner", description=__doc__)
    steps = parser.add_subparsers(dest="step", required=True)
    train = steps.add_parser("train", help="train a tagger for each language, loss and learning rate")
    crfsuite = steps.add_parser("crfsuite", help="train CRFsuite's linear CRF, the yardstick")
    inspect = steps.add_parser("inspect", help="marginals, possible tag sequences, and precision against recall")
    add_training_options(train, epochs=15, out="ner")
    for step in (crfsuite, inspect):
        add_options(step, out="ner")
    for step in (train, crfsuite, inspect):
        step.add_argument("--languages", nargs="+", choices=LANGUAGES, default=["en"], metavar="LANGUAGE")
        step.add_argument("--conll-dir", type=Path, help="folder with CoNLL-2003, for --languages conll")
    for step in (train, inspect):
        step.add_argument("--encoder", choices=list(RATES), default="lstm")
    train.add_argument("--losses", nargs="+", choices=list(LOSSES), default=TABLE_1, metavar="LOSS")
    train.add_argument("--rates", nargs="+", type=float, metavar="RATE", help="learning rates to choose from")
    train.add_argument("--rates-from", choices=LANGUAGES, metavar="LANGUAGE", help="the rates chosen there")
    train.add_argument("--batch", type=int, default=8)
    train.add_argument("--warm", type=int, default=0, help="epochs of the surrogate before a relaxed loss (0)")
    train.add_argument("--patience", type=int, default=4, help="epochs without a better validation F1 (4)")
    report = steps.add_parser("report", help="write the tables and the pictures of a README from the results")
    report.add_argument("--out", type=Path, default=EXAMPLES / "ner" / "results", help="folder with the results")
    report.add_argument("--readme", type=Path, default=EXAMPLES / "ner" / "README.md")
    report.add_argument("--pictures", type=Path, default=EXAMPLES / "ner" / "pictures")
    options = parser.parse_args(given)
    if options.step == "train":
        options.rates = options.rates or RATES[options.encoder]
    if getattr(options, "quick", False):
        options.languages, options.data = ["en"], None
        if options.step == "train":
            options.epochs, options.rates = 3, [0.03]
    return options


def main(given: Sequence[str] | None = None) -> None:
    """Run one step."""
    options = arguments(given)
    if options.step == "train":
        from examples.ner.train import train_all

        train_all(options)
    elif options.step == "crfsuite":
        from examples.ner.crfsuite import train_crfsuite

        train_crfsuite(options)
    elif options.step == "inspect":
        from examples.ner.inspect import inspect

        inspect(options)
    else:
        from examples.ner.report import write_report

        write_report(options)


if __name__ == "__main__":
    main()
