"""Hidden Markov models, likelihood with posteriors and decoding of a batch of sequences, beside hmmlearn.

Usage: python tests/bench/bench_hmm.py [--quick] [--write] [case ...]

All take one start, one transition matrix, and log-probabilities of emissions [sequences, T, S], in float64, on one
core: `hmm_decode` has no option for threads, so the process is bound to a core where the system can do this. hmmlearn's
model is a subclass whose log-likelihoods are the given numbers, so that nothing is spent on densities; its loops are
C++ behind a loop of Python over sequences. It has two implementations, "log" and "scaling". The sum of the
log-likelihoods and the posteriors of all steps are compared.

ours           hmm_value and hmm_posterior, as two calls
one call       dp_value_and_grad on the compiled graph, which has expected transition counts as well
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from harness import Table, Turns, main, threads

import dagdp
from dagdp.graphs import hmm_decode, hmm_posterior, hmm_value
from dagdp.graphs.ragged.compiled_cache import compiled
from dagdp.graphs.sequences import hmm

GOAL = 1.5
CASES = {
    "200 x T=20 S=4": (200, 20, 4),
    "32 x T=100 S=8": (32, 100, 8),
    "32 x T=500 S=16": (32, 500, 16),
    "8 x T=1000 S=64": (8, 1000, 64),
    "1 x T=5000 S=8": (1, 5000, 8),
}
RIVALS = ("hmmlearn log", "hmmlearn scaling")
Call = Callable[[], tuple[Any, ...]]


class Problem:
    """One batch: probabilities, and log-probabilities of emissions."""

    def __init__(self, count: int, T: int, S: int) -> None:
        rng = np.random.default_rng(0)
        self.start, self.transition = rng.dirichlet(np.ones(S)), rng.dirichlet(np.ones(S), size=S)  # [from, to]
        self.emission = rng.normal(size=(count, T, S))

    def logarithms(self) -> tuple[np.ndarray, ...]:
        """Arguments of the functions hmm_*."""
        return np.log(self.start), np.log(self.transition.T), self.emission

    def rival(self, implementation: str) -> tuple[Any, np.ndarray, list[int]]:
        """(hmmlearn's model, all steps, lengths)."""
        from hmmlearn.base import BaseHMM

        class Given(BaseHMM):
            def _compute_log_likelihood(self, X: np.ndarray) -> np.ndarray:
                return X

            def _compute_likelihood(self, X: np.ndarray) -> np.ndarray:
                return np.exp(X)

        count, T, S = self.emission.shape
        model = Given(S, implementation=implementation)
        model.startprob_, model.transmat_ = self.start, self.transition
        return model, self.emission.reshape(count * T, S), [T] * count


def posteriors(problem: Problem) -> dict[str, Call]:
    """Calls for (sum of log-likelihoods, posteriors [sequences, T, S])."""
    given, shape = problem.logarithms(), problem.emission.shape
    dag = compiled(hmm, *shape[1:])
    theta = dict(zip(("start", "transition", "emission"), given, strict=True))

    def one_call() -> tuple[Any, ...]:
        value, grad = dagdp.dp_value_and_grad(dag, theta, threads=1)
        return value.sum(), grad["emission"]

    def theirs(name: str) -> Call:
        made: list[Any] = []

        def call() -> tuple[Any, ...]:
            made[:] = made or problem.rival(name.split()[1])
            value, rows = made[0].score_samples(*made[1:])
            return value, rows.reshape(shape)

        return call

    def ours() -> tuple[Any, ...]:
        return hmm_value(*given, threads=1).sum(), hmm_posterior(*given, threads=1)

    return {"ours": ours, "ours, one call": one_call, **{name: theirs(name) for name in RIVALS}}


def decoding(problem: Problem) -> dict[str, Call]:
    """Calls for the best state sequences. hmmlearn decodes in logarithms whatever the implementation."""
    given, shape = problem.logarithms(), problem.emission.shape
    made: list[Any] = []

    def theirs() -> tuple[Any, ...]:
        made[:] = made or problem.rival("log")
        return (made[0].decode(*made[1:])[1].reshape(shape[:2]),)

    return {"ours": lambda: (hmm_decode(*given),), "hmmlearn log": theirs}


def measure(turns: Turns) -> Iterator[Table]:
    """One row a case and question."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    names = ("ours", "ours, one call", *RIVALS)
    table = Table(("sequences", "question", *(f"{name} ms" for name in names), "best rival / ours"))
    for name, size in CASES.items():
        for question, calls in (("posteriors", posteriors), ("decoding", decoding)) if turns.chosen(name) else ():
            with threads(1):
                result = turns(calls(Problem(*size)), tolerance=1e-9)
            goal = GOAL if question == "posteriors" else None
            table.add(name, question, *map(result.cell, names), result.ratio("ours", goal))
    yield table


if __name__ == "__main__":
    main(__doc__, "hmm", measure, small=True)
