"""
Sum-product on a tree
=====================

A trait is known for some leaves of a family tree. The marginals of the other nodes follow by one backward pass.
"""

import matplotlib.pyplot as plt
import numpy as np

import dagdp
from dagdp.graphs import trees

parents = [-1, 0, 0, 1, 1, 1, 2, 2]
known = {3: 1, 4: 1, 6: 0}
n, S = len(parents), 2
unary = np.zeros((n, S))
for leaf, state in known.items():
    unary[leaf, 1 - state] = -np.inf
pairwise = np.broadcast_to(np.log([[0.9, 0.1], [0.1, 0.9]]), (n, S, S))  # a child mostly has its parent's state
dag = dagdp.compile(trees.tree_model(parents, S))
marginal = dagdp.dp_grad(dag, {"unary": unary, "pairwise": pairwise}, dagdp.Negentropy(1.0))["unary"][:, 1]

x, y = [3.2, 1.5, 5.5, 0.5, 1.5, 2.5, 5, 6], [2, 1, 1, 0, 0, 0, 0, 0]
fig, ax = plt.subplots(layout="constrained")
for child, parent in enumerate(parents[1:], 1):
    ax.plot([x[child], x[parent]], [y[child], y[parent]], color="gray", zorder=0)
edges = ["tab:red" if v in known else "gray" for v in range(n)]
dots = ax.scatter(x, y, 1800, marginal, cmap="Blues", vmin=0, vmax=1.4, edgecolors=edges, linewidths=2)
for v in range(n):
    ax.text(x[v], y[v], f"{marginal[v]:.2f}", ha="center", va="center")
ax.set(title="probability of the trait; red: known", xticks=[], yticks=[], xlim=(0, 6.5), ylim=(-0.4, 2.4))
plt.show()
