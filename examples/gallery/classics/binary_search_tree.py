"""
Optimal binary search tree
==========================

A key that is searched often should lie near the root. The gradient has the probability of each subtree.
"""

import matplotlib.pyplot as plt
import numpy as np

import dagdp
from dagdp.graphs import classics

keys = ["and", "for", "in", "it", "not", "of", "on", "that", "the", "to"]
p = np.array([28.0, 9, 21, 8, 7, 36, 7, 10, 70, 26]) / 222  # how often each is searched
N = len(keys)
before = np.append(0.0, p.cumsum())
weight = before[None, :] - before[:, None]  # [i, j]: of keys i to j-1
dag = dagdp.compile(classics.search_tree(N))

fig, ax = plt.subplots(layout="constrained")
for gamma, color in [(0.02, "tab:blue"), (0.2, "tab:orange")]:
    subtree = dagdp.dp_grad(dag, weight, dagdp.Negentropy(gamma))
    depth = [subtree[: key + 1, key + 1 :].sum() for key in range(N)]  # the subtrees that hold a key
    ax.scatter(p, depth, color=color, label=f"gamma {gamma}")
best = dagdp.dp_grad(dag, weight, dagdp.HardMax())
depth = [best[: key + 1, key + 1 :].sum() for key in range(N)]
ax.scatter(p, depth, facecolors="none", edgecolors="black", s=80, label="best tree")
for key, share, below in zip(keys, p, depth, strict=True):
    ax.annotate(key, (share, below), (5, 7), textcoords="offset points")
ax.set(xlabel="share of the searches", ylabel="expected depth, the root is 1")
ax.invert_yaxis()
ax.legend()
plt.show()
