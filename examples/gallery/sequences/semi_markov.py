"""
Semi-Markov chain
=================

A signal is cut into segments of at least 6 steps, each with the level of its state. A score of whole segments can
demand this, which a score of neighbouring steps cannot.
"""

import matplotlib.pyplot as plt
import numpy as np

import dagdp
from dagdp import graphs

T, L, levels = 60, 30, np.array([0.0, 1.0, 2.0])
truth = levels[np.repeat([0, 2, 1, 0], [18, 9, 21, 12])]
signal = truth + 0.5 * np.random.default_rng(3).normal(size=T)

first, extra, t = np.ogrid[:T, :L, :T]
covered = ((first <= t) & (t <= first + extra)).astype(float)  # [first step, length - 1, step]
segment = np.einsum("flt,ts->fls", covered, -((signal[:, None] - levels) ** 2) / (2 * 0.5**2))
segment[:, :5] = -np.inf
transition = np.where(np.eye(3) == 1, -np.inf, -1.0)  # neighbouring segments differ
dag = dagdp.compile(graphs.sequences.semi_markov(T, 3, L))
expected = dagdp.dp_grad(dag, {"segment": segment, "transition": transition})["segment"]

plt.figure(figsize=(8, 3.6), layout="constrained")
plt.plot(signal, ".", color="grey", label="signal")
plt.plot(truth, "--", color="black", label="true level")
plt.plot(np.einsum("fls,flt,s->t", expected, covered, levels), label="expected level")
plt.bar(range(T), expected.sum((1, 2)), color="C1", label="a segment begins (probability)")
plt.gca().set(xlabel="step", ylabel="level, probability", ylim=(-1.2, 4.2))
plt.legend(ncols=2)
plt.show()
