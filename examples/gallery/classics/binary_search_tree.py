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

fig, ax = plt.subplots(figsize=(8, 4), layout="constrained")
operators = {"best tree": dagdp.HardMax(), "γ = 0.02": dagdp.Negentropy(0.02), "γ = 0.2": dagdp.Negentropy(0.2)}
for (label, omega), marker in zip(operators.items(), "sox", strict=True):
    subtree = dagdp.dp_grad(dag, weight, omega)
    depth = [subtree[: key + 1, key + 1 :].sum() for key in range(N)]  # the subtrees that hold a key
    ax.plot(range(N), depth, marker, label=label, markersize=9, fillstyle="none")
ax.set(xticks=range(N), xlabel="key, and its share of the searches", ylabel="expected depth, the root is 1")
ax.set_xticklabels([f"{key}\n{share:.0%}" for key, share in zip(keys, p, strict=True)])
ax.set_ylim(5, 0.7)
ax.legend()
plt.show()
