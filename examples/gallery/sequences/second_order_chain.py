"""
Second-order chain
==================

A ball keeps its speed and bounces off a wall at place 9, unseen. Scores of three places in a row can say that a speed
is kept. Scores of two places in a row cannot: their ball waits.
"""

import matplotlib.pyplot as plt
import numpy as np

import dagdp
from dagdp import graphs, plot

T, S = 19, 10
truth = S - 1 - abs(np.arange(T) - S + 1)
emission = -1.5 * (np.arange(S) - truth[:, None]) ** 2.0
emission[5:14] = 0.0  # unseen
i, j, k = np.ogrid[:S, :S, :S]
near = np.where(abs(i - j)[..., 0] <= 1, 0.0, -np.inf)  # a step of at most one place
kept = -3.0 * abs(i - 2 * j + k) * ~((j == S - 1) & (i == k))  # a change of speed costs, except at the wall
shared = {"start": np.zeros(S), "emission": emission}
first = shared | {"transition": near - abs(i - j)[..., 0]}  # a ball likes to stay
second = shared | {"second": near, "transition": near[..., None] + kept}

figure, axes = plt.subplots(1, 2, figsize=(9, 3.6), sharey=True, layout="constrained")
for ax, builder, theta in zip(axes, ("hmm", "second_order_chain"), (first, second), strict=True):
    dag = dagdp.compile(getattr(graphs.sequences, builder)(T, S))
    plot.trellis_marginals(dagdp.dp_grad(dag, theta)["emission"], truth=truth, ax=ax)
    ax.set(title=builder, xlabel="step (5 to 13 unseen)", ylabel="place", xticks=range(0, T, 3))
plt.show()
