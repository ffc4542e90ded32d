"""Leave one piece out: learn on the others, align the one; settings chosen by leaving out a second piece.

The setting for test piece i is the one with the least mean error over the other pieces j, each aligned by a model that
was learnt without i and j. That model serves test piece j as well, so that each pair of pieces is learnt without once.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from examples.audio_to_score import data
from examples.audio_to_score.data import FRAME, Array, Integers, Piece
from examples.audio_to_score.model import Classifier, Lesson, end_to_end, hard_onset_frames, pretrained
from examples.experiment import machine, read_json, write_json

DRAWS = 20  # random classifiers, and random costs, a fold
Record = dict[str, Any]


@dataclass(frozen=True)
class Settings:
    """What a run does; a run is resumed with the same ones only."""

    audio: str  # "rendered", or "Bach10"
    pieces: tuple[str, ...]
    seed: int
    iterations: int  # of L-BFGS, at most
    pretrained_lambdas: tuple[float, ...] = (1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0)
    lambdas: tuple[float, ...] = (1e-4, 1e-3, 1e-2)
    gammas: tuple[float, ...] = (0.3, 1.0, 3.0)


def train(arguments: argparse.Namespace) -> None:
    """Write run.json, inner.json for the choice of settings, and a fold_*.json for each test piece into `--out`."""
    torch.set_num_threads(arguments.threads)
    pieces = data.recorded(arguments.data) if arguments.data else data.rendered()
    audio = "Bach10" if arguments.data else "rendered"
    given = {name: getattr(arguments, name) for name in ("pretrained_lambdas", "lambdas", "gammas")}
    grids: dict[str, Any] = {name: tuple(values) for name, values in given.items() if values}
    iterations = arguments.epochs
    if arguments.quick:
        pieces = sorted(pieces, key=lambda piece: len(piece.features))[:3]
        grids = {"pretrained_lambdas": (1e-3, 1e-1), "lambdas": (1e-3,), "gammas": (1.0, 3.0), **grids}
        iterations = min(iterations, 10)
    settings = Settings(audio, tuple(piece.name for piece in pieces), arguments.seed, iterations, **grids)
    prepare(arguments.out, settings, resume=arguments.resume)
    bench = Bench(pieces, settings, arguments.threads)
    pairs = list(combinations(range(len(pieces)), 2)) if bench.trainings_a_pair > 2 else []
    trainings = len(pairs) * bench.trainings_a_pair + 2 * len(pieces)
    inner_path = arguments.out / "inner.json"
    inner: Record = read_json(inner_path) if inner_path.is_file() else {}
    with tqdm(total=trainings, unit="training") as bar:
        for i, j in pairs:
            if pair_name(i, j) not in inner:
                inner[pair_name(i, j)] = timed(partial(bench.pair, i, j))
                write_json(inner_path, inner)
            bar.update(bench.trainings_a_pair)
        for i in range(len(pieces)):
            path = arguments.out / f"fold_{i + 1:02}.json"
            if not path.is_file():
                those = [inner[pair_name(i, j)] for j in range(len(pieces)) if j != i] if pairs else []
                write_json(path, timed(partial(bench.fold, i, those)))
            bar.update(2)


def prepare(folder: Path, settings: Settings, *, resume: bool) -> None:
    """Write run.json. Without `resume` the results of an earlier run are removed; with it they must be of this one."""
    path = folder / "run.json"
    wanted = {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(settings).items()}
    if resume and path.is_file():
        found = read_json(path)["settings"]
        if found != wanted:
            different = sorted(name for name in wanted if found.get(name) != wanted[name])
            raise SystemExit(
                f"{folder} holds a run with other settings: {different}; expected the settings of this run, to go on "
                "from its results. Give them again, choose another --out, or leave --resume out to begin anew"
            )
        return
    for old in [folder / "inner.json", *folder.glob("fold_*.json")]:
        old.unlink(missing_ok=True)
    write_json(path, {"settings": wanted, **machine()})


def timed(measure: Callable[[], Record]) -> Record:
    """The result, with the wall time in seconds that it took."""
    begun = time.perf_counter()
    record = measure()
    return {**record, "wall_seconds": round(time.perf_counter() - begun, 3)}


def pair_name(i: int, j: int) -> str:
    """The name of the result of the models that were learnt without pieces i and j, in any order."""
    return f"without {min(i, j) + 1} and {max(i, j) + 1}"


class Bench:
    """The pieces and the settings, and what is learnt from them."""

    def __init__(self, pieces: Sequence[Piece], settings: Settings, threads: int) -> None:
        self.pieces, self.settings, self.threads = pieces, settings, threads
        self.keys = data.keys(pieces)  # scores are given at test time too, so their pitches are no secret
        self.trainings_a_pair = len(self.grid("pretrained")) + len(self.grid("end_to_end"))

    def without(self, *left_out: int) -> tuple[list[Piece], Lesson]:
        """The other pieces."""
        others = [piece for k, piece in enumerate(self.pieces) if k not in left_out]
        return others, Lesson(others, self.keys, self.threads)

    def pretrained(self, lesson: Lesson, penalty: float) -> tuple[Classifier, list[float]]:
        """Multinomial regression, from zero."""
        start = Classifier.zero(self.keys, lesson.features.shape[1])
        return pretrained(lesson, start, penalty, self.settings.iterations)

    def grid(self, kind: str) -> list[str]:
        """The settings of a kind of classifier, as the results name them."""
        if kind == "pretrained":
            return [f"{penalty:g}" for penalty in self.settings.pretrained_lambdas]
        return [f"{penalty:g} {gamma:g}" for penalty in self.settings.lambdas for gamma in self.settings.gammas]

    def pair(self, i: int, j: int) -> Record:
        """Errors on pieces i and j, in seconds, of all settings, learnt without i and j."""
        _, lesson = self.without(i, j)
        held = [self.pieces[i], self.pieces[j]]
        fitted = {penalty: self.pretrained(lesson, penalty)[0] for penalty in self.penalties()}
        found: dict[str, Any] = {"left_out": [piece.name for piece in held], "pretrained": {}, "end_to_end": {}}
        for setting in self.grid("pretrained"):
            found["pretrained"][setting] = errors(fitted[float(setting)], held)
        for setting in self.grid("end_to_end"):
            penalty, gamma = map(float, setting.split())
            model, _ = end_to_end(lesson, fitted[penalty], penalty, gamma, self.settings.iterations)
            found["end_to_end"][setting] = errors(model, held)
        return found

    def penalties(self) -> set[float]:
        """Every λ of a pretrained classifier: those of its own row, and those that end-to-end training starts from."""
        return {*self.settings.pretrained_lambdas, *self.settings.lambdas}

    def fold(self, i: int, inner: Sequence[Record]) -> Record:
        """Learn on all pieces but i with the settings that the inner results choose; errors on these and on i."""
        test = self.pieces[i]
        others, lesson = self.without(i)
        means = {kind: inner_means(inner, kind, test.name) for kind in ("pretrained", "end_to_end")}
        chosen = {kind: min(self.grid(kind), key=lambda setting: means[kind].get(setting, 0.0)) for kind in means}
        penalty, gamma = map(float, chosen["end_to_end"].split())
        start, _ = self.pretrained(lesson, penalty)
        learnt = {
            "end_to_end": end_to_end(lesson, start, penalty, gamma, self.settings.iterations),
            "pretrained": self.pretrained(lesson, float(chosen["pretrained"])),
        }
        rng = np.random.default_rng([self.settings.seed, i])
        methods: dict[str, Callable[[Piece], Iterator[Integers | Array]]] = {
            "end_to_end": lambda piece: iter([learnt["end_to_end"][0].onset_frames(piece)]),
            "pretrained": lambda piece: iter([learnt["pretrained"][0].onset_frames(piece)]),
            "random_weights": lambda piece: random_weights(piece, self.keys, rng),
            "random_costs": lambda piece: random_costs(piece, rng),
            "uniform": lambda piece: iter([data.uniform_onsets(piece) / FRAME]),
            "rhythm": lambda piece: iter([data.rhythm_onsets(piece) / FRAME]),
        }
        return {
            "piece": test.name,
            "notes": len(test.pitches),
            "frames": len(test.features),
            "unseen_pitches": data.unseen(test, others),
            "chosen": {"end_to_end": {"lambda": penalty, "gamma": gamma}, "pretrained": float(chosen["pretrained"])},
            "inner_error": {
                kind: {setting: round(error, 4) for setting, error in means[kind].items()} for kind in means
            },
            "errors": {name: scores(method, test, others) for name, method in methods.items()},
            "losses": {kind: np.round(losses, 6).tolist() for kind, (_, losses) in learnt.items()},
            "keys": self.keys.tolist(),
            "parameters": {kind: np.round(model.flat, 6).tolist() for kind, (model, _) in learnt.items()},
        }


def errors(model: Classifier, pieces: Sequence[Piece]) -> list[float]:
    """Mean deviation on each piece, in seconds."""
    return [data.mean_deviation(piece, model.onsets(piece)) for piece in pieces]


def inner_means(inner: Sequence[Record], kind: str, test: str) -> dict[str, float]:
    """For each setting the mean error over the training pieces j, aligned by models learnt without j and `test`.

    Empty where the run has one setting only, and so no inner results.
    """
    return {
        setting: float(np.mean([pair[kind][setting][1 - pair["left_out"].index(test)] for pair in inner]))
        for setting in (inner[0][kind] if inner else [])
    }


def random_weights(piece: Piece, keys: Integers, rng: np.random.Generator) -> Iterator[Integers]:
    """Onset frames under classifiers drawn at random."""
    for _ in range(DRAWS):
        yield Classifier.random(keys, piece.features.shape[1], rng).onset_frames(piece)


def random_costs(piece: Piece, rng: np.random.Generator) -> Iterator[Integers]:
    """Onset frames under independent standard normal costs θ."""
    for _ in range(DRAWS):
        yield hard_onset_frames(rng.normal(size=(len(piece.features), len(piece.pitches))))


def scores(
    method: Callable[[Piece], Iterator[Integers | Array]], test: Piece, training: Sequence[Piece]
) -> dict[str, float]:
    """Error in seconds and area in notes, on the test piece and on average over the training pieces."""
    measured = {}
    for part, pieces in (("train", training), ("test", [test])):
        found = [np.mean([measures(piece, frames) for frames in method(piece)], axis=0) for piece in pieces]
        measured[part], measured[f"{part}_area"] = map(float, np.mean(found, axis=0))
    return measured


def measures(piece: Piece, frames: Integers | Array) -> tuple[float, float]:
    """Mean deviation in seconds and area in notes of onsets, given as frame numbers, whole or not."""
    whole = np.minimum(np.rint(frames).astype(int), len(piece.features) - 1)
    return data.mean_deviation(piece, np.asarray(frames) * FRAME), data.area(piece, whole)
