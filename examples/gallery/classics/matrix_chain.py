"""
Matrix chain
============

The order in which six matrices are multiplied. A temperature tells how clearly the best order wins.
"""

import matplotlib.pyplot as plt
import numpy as np

import dagdp
from dagdp.graphs import classics

p = np.array([30.0, 35, 15, 5, 10, 20, 25])  # matrix i has size p[i] x p[i+1]
N = len(p) - 1
cost = p[:-1, None, None] * p[None, 1:, None] * p[None, None, 1:]  # multiplications, [i, k, j]
dag = dagdp.compile(classics.matrix_chain(N))
i, j = np.triu_indices(N)
cells = dag.cell("product", i, j)

fig, axes = plt.subplots(1, 2, sharey=True, figsize=(9, 4), layout="constrained")
for ax, omega in zip(axes, [dagdp.HardMax(), dagdp.Negentropy(5000.0)], strict=True):
    formed = np.full((N, N), np.nan)
    formed[i, j] = dagdp.node_marginals(dag, cost, omega)[cells]
    image = ax.imshow(formed, cmap="Blues", vmin=0, vmax=1)
    ax.set(title=f"{omega!r}: {dagdp.dp_value(dag, cost, omega):.0f}", xlabel="last matrix")
axes[0].set_ylabel("first matrix")
fig.colorbar(image, ax=axes, label="probability that the product is formed")
plt.show()
