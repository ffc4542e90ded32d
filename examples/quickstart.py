"""Three recurrences, one engine: phrases, chords and an audio alignment of ten Bach chorales.

Each program is a text of a few lines: PHRASES, CHORDS, ALIGNMENT. `dagdp.recurrence` makes a graph of it.
Every chorale is solved with parameters fitted on the other nine. Run it with `make demo`.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # the ridge regressions are small: a second thread only waits

import bach
import numpy as np
import pictures
from bach import Array, Chorale, Integers

import dagdp
from dagdp import CompiledDAG, Graph, HardMax, Negentropy, Omega, SquaredL2

OPERATORS = (HardMax(), Negentropy(1.0), SquaredL2(1.0))
LONGEST = 16  # quarters: no candidate phrase is longer


@dataclass
class Solved:
    """One kind of program on all chorales: its graph, its values for the first chorale, scores [10] by method."""

    title: str
    measure: str
    dag: CompiledDAG
    values: list[float]
    scores: dict[str, Array]


def others(chorales: list[Chorale], k: int) -> list[Chorale]:
    """All chorales but number k."""
    return chorales[:k] + chorales[k + 1 :]


# (a) phrases: a segmentation ------------------------------------------------------------------------------------

PHRASES = """
    cut[0] = 0
    cut[j] = max[i](when(i < j and span[i, j] <= longest, cut[i] + phrase[i, j]))
    return cut[-1]
"""


def spans(chorale: Chorale) -> Integers:
    """[n + 1, n + 1] length in half quarters of a phrase between two boundaries, negative backwards in time."""
    at = chorale.boundaries
    return np.round(2 * (at - at[:, None])).astype(int)


def duration_classes(chorale: Chorale) -> Integers:
    """[n] log2 of the quarters until the next note, rounded, from -2 to 2, as classes 0 to 4."""
    return (np.clip(np.round(np.log2(np.diff(chorale.boundaries))), -2, 2) + 2).astype(int)


def phrase_scores(training: list[Chorale]) -> tuple[Array, Array]:
    """(length [2·LONGEST + 1], last [5]): log P(length) and log P(duration | last) - log P(duration | not last)."""
    phrases = []
    for chorale in training:
        cuts = [0, *(np.flatnonzero(chorale.fermata) + 1)]
        phrases += [spans(chorale)[i, j] for i, j in pairwise(cuts)]
    classes = np.concatenate([duration_classes(chorale) for chorale in training])
    last = np.concatenate([chorale.fermata for chorale in training])
    length = bach.log_shares(np.clip(phrases, 0, 2 * LONGEST), 2 * LONGEST + 1)
    return length, bach.log_shares(classes[last], 5) - bach.log_shares(classes[~last], 5)


def phrase_graph(chorale: Chorale, length: Array, last: Array) -> tuple[Graph, Array]:
    """(graph, theta [n + 1, n + 1]): cells cut[0] to cut[n] between the notes, an edge for each candidate phrase."""
    span = spans(chorale)
    theta = length[np.clip(span, 0, 2 * LONGEST)]
    theta[:, 1:] += last[duration_classes(chorale)]
    longest = np.array(2 * LONGEST)
    return dagdp.recurrence(PHRASES, i=len(span), j=len(span), span=span, longest=longest), theta


def every_beats(chorale: Chorale, length: Array) -> Array:
    """[n] the baseline: a phrase ends wherever a multiple of the commonest phrase length is full."""
    halves = 2 * (chorale.boundaries[1:] - chorale.boundaries[0])
    return (halves % int(length.argmax()) == 0).astype(float)


def f1(found: Array, truth: Array) -> float:
    """F1 of the boundaries inside the piece; the last note ends a phrase on every path, so it is left out."""
    hits = float((found[:-1] * truth[:-1]).sum())
    return 2 * hits / max(1.0, float(found[:-1].sum() + truth[:-1].sum()))


def solve_phrases(chorales: list[Chorale]) -> tuple[Solved, list[Array], list[Array]]:
    """(results, best [n] of 0 and 1, probability [n]) of a phrase ending at each note of each chorale."""
    dags, values, best, soft, simple = [], [], [], [], []
    for k, chorale in enumerate(chorales):
        length, last = phrase_scores(others(chorales, k))
        graph, theta = phrase_graph(chorale, length, last)
        dags.append(dagdp.compile(graph))
        answers = [dagdp.dp_value_and_grad(dags[k], theta, omega) for omega in OPERATORS]
        values.append([float(value) for value, _ in answers])
        best.append(answers[0][1].sum(0)[1:])  # a phrase that ends at note j is an edge into cut[j]
        soft.append(answers[1][1].sum(0)[1:])
        simple.append(every_beats(chorale, length))
    scores = {
        "dagdp": np.array([f1(b, c.fermata) for b, c in zip(best, chorales, strict=True)]),
        "even": np.array([f1(b, c.fermata) for b, c in zip(simple, chorales, strict=True)]),
    }
    return Solved("(a) phrases, own DAG", "F1 of boundaries", dags[0], values[0], scores), best, soft


# (b) chords: Viterbi --------------------------------------------------------------------------------------------

CHORDS = """
    v[0, i] = start[i] + emission[0, i]
    v[t, i] = max[j](v[t-1, j] + transition[i, j]) + emission[t, i]
    done[t] = max[i](v[t, i])
    return max[t](done[t])
"""


def chord_scores(training: list[Chorale]) -> tuple[Array, Array, Array]:
    """(start [S], transition [S, S] as [to, from], emission [S, 12]): log-probabilities, counted."""
    chords = [bach.chord_classes(chorale) for chorale in training]
    start = bach.log_shares(np.array([states[0] for states in chords]), bach.CHORDS)
    before, after = (np.concatenate([states[cut] for states in chords]) for cut in (slice(None, -1), slice(1, None)))
    step = bach.log_table(before, after, bach.CHORDS, bach.CHORDS)
    degrees = np.concatenate([chorale.degrees for chorale in training])
    return start, step.T, bach.log_table(np.concatenate(chords), degrees, bach.CHORDS, 12)


def simple_chords(training: list[Chorale], chorale: Chorale) -> tuple[Integers, Integers]:
    """([n], [n]), two baselines: the commonest chord, and the commonest under a soprano note of this degree.

    The first is weak: which tonic triad is commonest, major or minor, turns with the piece left out.
    """
    chords = np.concatenate([bach.chord_classes(piece) for piece in training])
    degrees = np.concatenate([piece.degrees for piece in training])
    likely = bach.log_table(degrees, chords, 12, bach.CHORDS).argmax(1)
    return np.full(len(chorale.degrees), np.bincount(chords).argmax()), likely[chorale.degrees]


def solve_chords(chorales: list[Chorale]) -> tuple[Solved, Integers, Array]:
    """(results, decoded states [10, T], marginals [10, T, S]): all chorales as one ragged batch."""
    lengths = np.array([len(chorale.soprano) for chorale in chorales])
    T, S = int(lengths.max()), bach.CHORDS
    start, transition, tables = map(
        np.stack, zip(*(chord_scores(others(chorales, k)) for k in range(len(chorales))), strict=True)
    )
    emission = np.full((len(chorales), T, S), np.nan)  # what lies behind an item's end is never read
    for k, chorale in enumerate(chorales):
        emission[k, : lengths[k]] = tables[k].T[chorale.degrees]
    theta = {"start": start, "transition": transition, "emission": emission}
    dag = dagdp.compile(dagdp.recurrence(CHORDS, t=T, i=S, j=S))
    ends = dag.cell("done", lengths - 1)
    decoded = np.full((len(chorales), T), -1)
    for k, cells in enumerate(dagdp.best_path(dag, theta, end=ends).names(dag)):
        decoded[k, : lengths[k]] = [cell[2] for cell in cells if cell[0] == "v"]
    values = [float(dagdp.dp_value(dag, theta, omega, end=ends)[0]) for omega in OPERATORS]
    marginals = dagdp.dp_grad(dag, theta, Negentropy(1.0), end=ends)["emission"]
    rows = []
    for k, chorale in enumerate(chorales):
        guesses = (decoded[k, : lengths[k]], *simple_chords(others(chorales, k), chorale))
        rows.append([float((guess == bach.chord_classes(chorale)).mean()) for guess in guesses])
    scores = dict(zip(("dagdp", "majority", "by note"), np.array(rows).T, strict=True))
    return Solved("(b) chords, Viterbi", "accuracy", dag, values, scores), decoded, marginals


# (c) audio to score: DTW ----------------------------------------------------------------------------------------

ALIGNMENT = """
    v[0, 0] = cost[0, 0]
    v[i, j] = min(v[i-1, j-1], v[i-1, j], v[i, j-1]) + cost[i, j]
    return v[-1, -1]
"""


def simple_alignments(chorale: Chorale) -> tuple[Array, Array]:
    """([n], [n]) seconds, two baselines: notes spread evenly, and the score's own rhythm at one tempo."""
    total = len(chorale.features) * bach.FRAME
    n, onset = len(chorale.soprano), chorale.soprano[:, 0]
    return np.arange(n) / n * total, onset / (onset[-1] + chorale.soprano[-1, 1]) * total


def solve_alignments(chorales: list[Chorale]) -> tuple[Solved, list[Integers], dict[Omega, Array]]:
    """(results, hard paths [length, 2], soft alignments of the first): notes of the soprano against frames."""
    n_a, n_b = (np.array(sizes) for sizes in zip(*((len(c.soprano), len(c.features)) for c in chorales), strict=True))
    costs = np.full((len(chorales), n_a.max(), n_b.max()), np.nan)
    for k, chorale in enumerate(chorales):
        expected = bach.predicted_features(others(chorales, k), chorale)
        costs[k, : n_a[k], : n_b[k]] = np.square(expected[:, None] - chorale.features).sum(-1)
    dag = dagdp.compile(dagdp.recurrence(ALIGNMENT, i=n_a.max(), j=n_b.max()))
    ends = dag.cell("v", n_a - 1, n_b - 1)
    hard = dagdp.best_path(dag, costs, end=ends).names(dag)
    paths = [np.array([(i, j) for _, i, j in cells]) for cells in hard]
    values = [float(dagdp.dp_value(dag, costs, omega, end=ends)[0]) for omega in OPERATORS]
    rows = []
    for path, chorale in zip(paths, chorales, strict=True):
        onsets = path[np.unique(path[:, 0], return_index=True)[1], 1] * bach.FRAME
        guesses = (onsets, *simple_alignments(chorale))
        rows.append([float(np.abs(guess - chorale.seconds).mean()) for guess in guesses])
    scores = dict(zip(("dagdp", "diagonal", "rhythm"), np.array(rows).T, strict=True))
    soft = [dagdp.dp_grad(dag, costs[0], omega, end=ends[0])[: n_a[0], : n_b[0]] for omega in OPERATORS[1:]]
    maps: dict[Omega, Array] = dict(zip(OPERATORS[1:], soft, strict=True))
    return Solved("(c) alignment, DTW", "mean deviation, s", dag, values, scores), paths, maps


def report(chorales: list[Chorale], solved: list[Solved]) -> None:
    """Print the table of graphs and values, then the table of scores."""
    print(f"\n{'':22}{'nodes':>8}{'edges':>9}{'levels':>8}   value for {chorales[0].name} under")
    print(f"{'':47}" + "".join(f"{type(omega).__name__:>12}" for omega in OPERATORS))
    for s in solved:
        sizes = f"{s.title:22}{s.dag.num_nodes:8}{s.dag.num_edges:9}{s.dag.num_levels:8}"
        print(sizes + "".join(f"{value:12.3f}" for value in s.values))
    print("\nScores with parameters from the other nine, and simple baselines. (a), (b): higher is better;")
    print("(c): lower is better, on a synthetic rendering, not the Bach10 recordings.\n")
    columns = [(name, column) for s in solved for name, column in s.scores.items()]
    print(f"{'':30}" + "".join(f"{s.title[:4] + s.measure:>{11 * len(s.scores)}}" for s in solved))
    print(f"{'':30}" + "".join(f"{name:>11}" for name, _ in columns))
    for k, chorale in enumerate(chorales):
        print(f"{chorale.name:30}" + "".join(f"{column[k]:11.2f}" for _, column in columns))
    print(f"{'mean':30}" + "".join(f"{column.mean():11.3f}" for _, column in columns))


def timed(what: str, work: Callable[..., Any], *arguments: Any) -> Any:
    """The work's result; the seconds it took are printed."""
    started = time.perf_counter()
    result = work(*arguments)
    print(f"{what:60}{time.perf_counter() - started:7.1f} s", flush=True)
    return result


def main() -> None:
    """Solve, report, draw."""
    started = time.perf_counter()
    print("The first run on a machine compiles the kernels; they are kept on disk for the next.", flush=True)
    chorales = bach.load()
    phrases, best, soft = timed("(a) phrases of ten melodies: HardMax, Negentropy, SquaredL2", solve_phrases, chorales)
    chords, decoded, marginals = timed("(b) chords under ten melodies, one ragged batch", solve_chords, chorales)
    alignment, paths, maps = timed("(c) ten alignments with audio, one ragged batch", solve_alignments, chorales)
    report(chorales, [phrases, chords, alignment])

    print()
    first = chorales[0]
    drawn = [
        timed("drawing the phrases", pictures.phrases, chorales, best, soft),
        timed("drawing the chords", pictures.chords, first, decoded[0], marginals[0]),
        timed("drawing the alignments", pictures.alignments, first, paths[0], maps),
    ]
    print("\nPictures:", *drawn, sep="\n  ")
    print(f"\nElapsed: {time.perf_counter() - started:.1f} s")


if __name__ == "__main__":
    main()
