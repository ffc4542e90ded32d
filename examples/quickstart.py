"""Three dynamic programs, one engine: phrases, chords and an audio alignment of ten Bach chorales.

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
from dagdp import CompiledDAG, Graph, HardMax, Negentropy, SquaredL2
from dagdp.graphs import dtw_grad, dtw_grid, dtw_path, dtw_value, trellis, viterbi_decode, viterbi_grad, viterbi_value

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


# (a) phrases: a graph of one's own ------------------------------------------------------------------------------


def span_class(chorale: Chorale, first: int, last: int) -> int:
    """Length in half quarters of a phrase between two boundaries."""
    return round(2 * (chorale.boundaries[last] - chorale.boundaries[first]))


def duration_classes(chorale: Chorale) -> Integers:
    """[n] log2 of the quarters until the next note, rounded, from -2 to 2, as classes 0 to 4."""
    return (np.clip(np.round(np.log2(np.diff(chorale.boundaries))), -2, 2) + 2).astype(int)


def phrase_scores(training: list[Chorale]) -> tuple[Array, Array]:
    """(length [2·LONGEST + 1], last [5]): log P(length) and log P(duration | last) - log P(duration | not last)."""
    spans = []
    for chorale in training:
        cuts = [0, *(np.flatnonzero(chorale.fermata) + 1)]
        spans += [span_class(chorale, i, j) for i, j in pairwise(cuts)]
    classes = np.concatenate([duration_classes(chorale) for chorale in training])
    last = np.concatenate([chorale.fermata for chorale in training])
    length = bach.log_shares(np.clip(spans, 0, 2 * LONGEST), 2 * LONGEST + 1)
    return length, bach.log_shares(classes[last], 5) - bach.log_shares(classes[~last], 5)


def phrase_graph(chorale: Chorale, length: Array, last: Array) -> tuple[Graph, Array, Integers]:
    """(graph, theta [edges], ends [edges]): nodes 0 to n between the notes, an edge for each candidate phrase."""
    graph, theta, ends = Graph(), [], []
    duration = duration_classes(chorale)
    for i in range(len(duration)):
        for j in range(i + 1, len(duration) + 1):
            span = span_class(chorale, i, j)
            if span <= 2 * LONGEST:
                graph.add_edge(i, j)
                theta.append(length[span] + last[duration[j - 1]])
                ends.append(j - 1)
    return graph, np.array(theta), np.array(ends)


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
        graph, theta, ends = phrase_graph(chorale, length, last)
        dags.append(dagdp.compile(graph))
        answers = [dagdp.dp_value_and_grad(dags[k], theta, omega) for omega in OPERATORS]
        values.append([float(value) for value, _ in answers])
        best.append(np.bincount(ends, weights=answers[0][1]))
        soft.append(np.bincount(ends, weights=answers[1][1]))
        simple.append(every_beats(chorale, length))
    scores = {
        "dagdp": np.array([f1(b, c.fermata) for b, c in zip(best, chorales, strict=True)]),
        "even": np.array([f1(b, c.fermata) for b, c in zip(simple, chorales, strict=True)]),
    }
    return Solved("(a) phrases, own DAG", "F1 of boundaries", dags[0], values[0], scores), best, soft


# (b) chords: Viterbi --------------------------------------------------------------------------------------------


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
    theta = np.full((len(chorales), T, S, S), np.nan)  # [item, t, to, from]; what lies behind an item is never read
    for k, chorale in enumerate(chorales):
        start, step, emission = chord_scores(others(chorales, k))
        theta[k, : lengths[k]] = step + emission.T[chorale.degrees][:, :, None]
        theta[k, 0] = (start + emission[:, chorale.degrees[0]])[:, None]
    decoded = viterbi_decode(theta, lengths=lengths)
    marginals = viterbi_grad(theta, Negentropy(1.0), lengths=lengths).sum(-1)
    values = [float(viterbi_value(theta, omega, lengths=lengths)[0]) for omega in OPERATORS]
    rows = []
    for k, chorale in enumerate(chorales):
        guesses = (decoded[k, : lengths[k]], *simple_chords(others(chorales, k), chorale))
        rows.append([float((guess == bach.chord_classes(chorale)).mean()) for guess in guesses])
    scores = dict(zip(("dagdp", "majority", "by note"), np.array(rows).T, strict=True))
    dag = dagdp.compile(trellis(T, S, ragged=True))
    return Solved("(b) chords, Viterbi", "accuracy", dag, values, scores), decoded, marginals


# (c) audio to score: DTW ----------------------------------------------------------------------------------------


def simple_alignments(chorale: Chorale) -> tuple[Array, Array]:
    """([n], [n]) seconds, two baselines: notes spread evenly, and the score's own rhythm at one tempo."""
    total = len(chorale.features) * bach.FRAME
    n, onset = len(chorale.soprano), chorale.soprano[:, 0]
    return np.arange(n) / n * total, onset / (onset[-1] + chorale.soprano[-1, 1]) * total


def solve_alignments(chorales: list[Chorale]) -> tuple[Solved, list[Any], Array]:
    """(results, hard paths [length, 2], cost matrices [10, N_A, N_B]): notes of the soprano against frames."""
    n_a, n_b = (np.array(sizes) for sizes in zip(*((len(c.soprano), len(c.features)) for c in chorales), strict=True))
    costs = np.full((len(chorales), n_a.max(), n_b.max()), np.nan)
    for k, chorale in enumerate(chorales):
        expected = bach.predicted_features(others(chorales, k), chorale)
        costs[k, : n_a[k], : n_b[k]] = np.square(expected[:, None] - chorale.features).sum(-1)
    paths = [path[path[:, 0] >= 0] for path in dtw_path(costs, lengths=(n_a, n_b))]
    values = [float(dtw_value(costs, omega, lengths=(n_a, n_b))[0]) for omega in OPERATORS]
    rows = []
    for path, chorale in zip(paths, chorales, strict=True):
        onsets = path[np.unique(path[:, 0], return_index=True)[1], 1] * bach.FRAME
        guesses = (onsets, *simple_alignments(chorale))
        rows.append([float(np.abs(guess - chorale.seconds).mean()) for guess in guesses])
    scores = dict(zip(("dagdp", "diagonal", "rhythm"), np.array(rows).T, strict=True))
    dag = dagdp.compile(dtw_grid(int(n_a.max()), int(n_b.max())))
    return Solved("(c) alignment, DTW", "mean deviation, s", dag, values, scores), paths, costs


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
    alignment, paths, costs = timed("(c) ten alignments with audio, one ragged batch", solve_alignments, chorales)
    report(chorales, [phrases, chords, alignment])

    first, path, cost = chorales[0], paths[0], costs[0, : len(chorales[0].soprano), : len(chorales[0].features)]
    maps = {omega: dtw_grad(cost, omega) for omega in OPERATORS[1:]}
    print()
    drawn = [
        timed("drawing the phrases", pictures.phrases, chorales, best, soft),
        timed("drawing the chords", pictures.chords, first, decoded[0], marginals[0]),
        timed("drawing the alignments", pictures.alignments, first, path, maps),
    ]
    print("\nPictures:", *drawn, sep="\n  ")
    print(f"\nElapsed: {time.perf_counter() - started:.1f} s")


if __name__ == "__main__":
    main()
