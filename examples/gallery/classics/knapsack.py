"""
Knapsack
========

The probability that an item is packed. A sparse operator gives most items probability 0 or 1.
"""

import matplotlib.pyplot as plt
import numpy as np

import dagdp
from dagdp.graphs import classics

items = ["map", "compass", "water", "sandwich", "tin", "cheese", "apple", "umbrella", "camera", "book"]
weight = [9, 13, 153, 50, 68, 23, 39, 73, 32, 24]
value = np.array([150.0, 35, 200, 160, 45, 30, 40, 40, 30, 10])
dag = dagdp.compile(classics.knapsack(weight, capacity=240))

fig, ax = plt.subplots(figsize=(8, 4), layout="constrained")
operators = [dagdp.HardMax(), dagdp.Tsallis(2.0, 60.0), dagdp.Negentropy(30.0)]
for k, omega in enumerate(operators):
    packed = dagdp.dp_grad(dag, value, omega)
    ax.bar(np.arange(len(items)) + 0.27 * (k - 1), packed, 0.25, label=repr(omega))
ax.set(xticks=range(len(items)), ylabel="probability that the item is packed")
ax.set_xticklabels([f"{item}\n{v:.0f} / {w}" for item, v, w in zip(items, value, weight, strict=True)], fontsize=8)
ax.set_xlabel("item, value / weight; room for 240")
ax.legend()
plt.show()
