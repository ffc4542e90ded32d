"""The tables and the pictures of the README, from the result files alone."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from examples.audio_to_score import data, pictures
from examples.experiment import markdown_table, put_between, read_json

Record = dict[str, Any]

ROWS = {
    "end_to_end": "end-to-end",
    "pretrained": "pretrained classifier",
    "random_weights": "random W",
    "random_costs": "random θ",
    "uniform": "uniform diagonal",
    "rhythm": "the score's rhythm",
}
AUDIO = {
    "rendered": "Rendered audio, which is synthetic and NOT the Bach10 recordings",
    "Bach10": "The recordings of Bach10 v1.1",
}


def report(arguments: argparse.Namespace) -> None:
    """Write the tables into the page; the pictures too, where the audio of the results is at hand."""
    run, folds = results(arguments.out)
    audio = run["settings"]["audio"]
    for name, table in TABLES.items():
        put_between(arguments.page, f"{audio} {name}", table(run, folds))
    print(f"wrote {len(TABLES)} tables into {arguments.page}")
    if audio == "rendered" or arguments.bach10:
        pieces = data.recorded(arguments.bach10) if audio == "Bach10" else data.rendered()
        for path in pictures.draw(pieces, folds, arguments.pictures, audio):
            print(f"wrote {path}")


def results(folder: Path) -> tuple[Record, list[Record]]:
    """run.json, with the total of wall times, and the fold_*.json in order."""
    run = read_json(folder / "run.json")
    paths = sorted(folder.glob("fold_*.json"))
    wanted = len(run["settings"]["pieces"])
    if len(paths) != wanted:
        raise SystemExit(
            f"{folder} has the results of {len(paths)} test pieces; expected {wanted}: finish the run with "
            f"`python -m examples.audio_to_score train --out {folder} --resume` and its other options"
        )
    folds = [read_json(path) for path in paths]
    path = folder / "inner.json"
    inner = read_json(path) if path.is_file() else {}
    run["inner_seconds"] = sum(pair["wall_seconds"] for pair in inner.values())
    run["fold_seconds"] = sum(fold["wall_seconds"] for fold in folds)
    return run, folds


def results_table(run: Record, folds: Sequence[Record]) -> str:
    """Train and test errors of each method over the folds, and how they were measured."""
    count = len(folds)
    rows = []
    for method, label in ROWS.items():
        train, test, area = (column(folds, method, part) for part in ("train", "test", "test_area"))
        closer = int((column(folds, "end_to_end", "test") < test).sum())
        against = "" if method == "end_to_end" else f"{closer} of {count}"
        rows.append([label, spread(train), middle(train), spread(test), middle(test), spread(area), against])
    header = [
        "alignment by", "train, s", "train median, s", "test, s", "test median, s", "test area, notes",
        "end-to-end closer on",
    ]  # fmt: skip
    return markdown_table(header, rows) + "\n\n" + provenance(run)


def provenance(run: Record) -> str:
    """Where, when and how the results were measured."""
    settings = run["settings"]
    total = run["inner_seconds"] + run["fold_seconds"]
    chosen = f", of which {run['inner_seconds']:.0f} s for the choice of λ and γ" if run["inner_seconds"] else ""
    return (
        f"{AUDIO[settings['audio']]}: {len(settings['pieces'])} pieces, each left out once. Mean ± standard deviation "
        f"and median over these folds. Seed {settings['seed']}, at most {settings['iterations']} iterations of L-BFGS "
        f"a training. Measured on {run['date']}, {run['machine']}, one thread beside other work, Python "
        f"{run['python']}, torch {run['torch']}, numpy {run['numpy']}: {total:.0f} s of wall time{chosen}."
    )


def pieces_table(run: Record, folds: Sequence[Record]) -> str:
    """Test errors of each piece, and what was chosen without it."""
    rows = []
    for fold in folds:
        chosen = fold["chosen"]
        unseen = ", ".join(map(str, fold["unseen_pitches"])) or "none"
        errors = [f"{fold['errors'][method]['test']:.2f}" for method in ROWS]
        picked = [f"{chosen['end_to_end'][name]:g}" for name in ("lambda", "gamma")]
        rows.append([fold["piece"], *errors, *picked, f"{chosen['pretrained']:g}", unseen])
    return markdown_table(["test piece", *ROWS.values(), "λ", "γ", "λ pretrained", "pitches not in training"], rows)


def choices_table(run: Record, folds: Sequence[Record]) -> str:
    """Inner leave-one-out errors of each setting, averaged over the folds: what λ and γ were chosen by."""
    settings = run["settings"]
    if not run["inner_seconds"]:
        return "λ and γ were given to this run: nothing was chosen."

    def inner(kind: str, setting: str) -> str:
        return f"{np.mean([fold['inner_error'][kind][setting] for fold in folds]):.2f}"

    rows = []
    for penalty in sorted({*settings["pretrained_lambdas"], *settings["lambdas"]}):
        learnt = [
            inner("end_to_end", f"{penalty:g} {gamma:g}") if penalty in settings["lambdas"] else ""
            for gamma in settings["gammas"]
        ]
        plain = inner("pretrained", f"{penalty:g}") if penalty in settings["pretrained_lambdas"] else ""
        rows.append([f"{penalty:g}", *learnt, plain])
    header = ["λ", *(f"end-to-end, γ = {gamma:g}" for gamma in settings["gammas"]), "pretrained classifier"]
    return markdown_table(header, rows)


def column(folds: Sequence[Record], method: str, part: str) -> np.ndarray[Any, Any]:
    """One number of a method, for each fold."""
    return np.array([fold["errors"][method][part] for fold in folds])


def spread(values: np.ndarray[Any, Any]) -> str:
    """Mean ± sample standard deviation."""
    return f"{values.mean():.2f} ± {values.std(ddof=1):.2f}"


def middle(values: np.ndarray[Any, Any]) -> str:
    """The median."""
    return f"{np.median(values):.2f}"


TABLES = {"results": results_table, "pieces": pieces_table, "choices": choices_table}
