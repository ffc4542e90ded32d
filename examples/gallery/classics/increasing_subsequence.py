"""
Increasing subsequence
======================

The longest increasing subsequence of a noisy series, and the probability of each number under a smoothed maximum.
"""

import matplotlib.pyplot as plt
import numpy as np

import dagdp
from dagdp.graphs import classics

N = 40
x = np.linspace(0, 3, N) + np.random.default_rng(3).normal(scale=0.6, size=N)
dag = dagdp.compile(classics.increasing_subsequence(x))
score = np.ones(N)
probability = dagdp.dp_grad(dag, score, dagdp.Negentropy(0.3))
longest = np.flatnonzero(dagdp.dp_grad(dag, score, dagdp.HardMax()))

fig, ax = plt.subplots(figsize=(8, 4), layout="constrained")
ax.plot(longest, x[longest], color="tab:red", zorder=0, label=f"a longest one, of {len(longest)} numbers")
dots = ax.scatter(np.arange(N), x, 60, probability, cmap="Blues", edgecolors="gray", vmin=0, vmax=1)
fig.colorbar(dots, label="probability that the number is in it")
ax.set(xlabel="place in the series", ylabel="number")
ax.legend()
plt.show()
