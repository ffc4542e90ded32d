"""
RNA folding
===========

Above the diagonal the probability of each base pair, below it the pairs of the best structure.
"""

import matplotlib.pyplot as plt
import numpy as np

import dagdp
from dagdp.graphs import classics

bases = "GCGGAUUUAGCUCAGUUGGGAGAGCGCCAGACUGAAG"
strength = {"GC": 3.0, "CG": 3.0, "AU": 2.0, "UA": 2.0, "GU": 1.0, "UG": 1.0}
N = len(bases)
pair = np.array([[strength.get(a + b, -np.inf) for b in bases] for a in bases]) - 1.0
dag = dagdp.compile(classics.rna_folding(N))
probability = dagdp.dp_grad(dag, pair, dagdp.Negentropy(0.5))
best = dagdp.dp_grad(dag, pair, dagdp.HardMax())

fig, ax = plt.subplots(figsize=(7, 6), layout="constrained")
image = ax.imshow(probability + best.T, cmap="Blues", vmin=0, vmax=1)
ax.plot([0, N - 1], [0, N - 1], color="gray", linewidth=0.5)
ax.set(xticks=range(N), yticks=range(N), title="above: probability; below: best structure")
ax.set_xticklabels(bases, fontsize=7)
ax.set_yticklabels(bases, fontsize=7)
fig.colorbar(image, label="probability of the pair")
plt.show()
