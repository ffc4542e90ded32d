"""
RNN transducer
==============

An alignment moves right with a blank and down with a label. The map shows the probability of each place, the line the
best alignment.
"""

import matplotlib.pyplot as plt
import numpy as np

import dagdp
from dagdp import graphs, plot

T, U, classes = 24, 6, 5  # frames, labels; the last class is the blank
rng = np.random.default_rng(0)
target = rng.integers(0, classes - 1, U)
spoken = np.sort(rng.choice(T - 2, U, replace=False)) + 1  # the frame of each label
logits = rng.normal(size=(T, U + 1, classes))
logits[..., -1] += 2.0
logits[spoken, np.arange(U), target] += 4.0
logits[np.arange(T)[:, None] < np.append(spoken, T), -1] += 1.5
log_probs = logits - np.log(np.exp(logits).sum(-1, keepdims=True))

dag = dagdp.compile(graphs.sequences.rnnt(T, U))
theta = {"blank": log_probs[..., -1], "label": log_probs[:, np.arange(U), target]}
value, expected = dagdp.dp_value_and_grad(dag, theta)
places = expected["blank"] + np.pad(expected["label"], ((0, 0), (0, 1)))  # each place is left by one of the two
best = [(u, t) for _, t, u in dagdp.best_path(dag, theta).names(dag)]

ax = plot.alignment_map(places.T, path=best)
ax.set(xlabel="frame", ylabel="labels so far", title=f"-log p = {-value:.1f}")
plt.show()
