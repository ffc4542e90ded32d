"""
Dependency parsing
==================

Eisner's algorithm scores projective trees. The gradient of the value is the probability of each arc; crosses mark the
best tree.
"""

import matplotlib.pyplot as plt
import numpy as np

import dagdp
from dagdp.graphs import trees

words = ["root", "she", "saw", "the", "man", "with", "binoculars"]
heads = [2, 0, 4, 2, 2, 5]  # of each word; "with" may belong to "saw" or to "man"
n = len(heads)
arc = np.random.default_rng(0).normal(scale=0.3, size=(n + 1, n + 1))  # [head, modifier]
arc[heads, np.arange(1, n + 1)] += 3.0
arc[4, 5] += 2.8
dag = dagdp.compile(trees.eisner(n, multiroot=False))
probability = dagdp.dp_grad(dag, arc, dagdp.Negentropy(1.0))
best = trees.heads_of(dag, dagdp.best_path(dag, arc))

fig, ax = plt.subplots(layout="constrained")
image = ax.imshow(probability[:, 1:], cmap="Blues", vmin=0, vmax=1)
ax.plot(np.arange(n), best, "x", color="tab:red", label="best tree")
ax.set(xticks=range(n), xticklabels=words[1:], yticks=range(n + 1), yticklabels=words, xlabel="modifier", ylabel="head")
fig.colorbar(image, label="probability of the arc")
ax.legend(loc="upper right")
plt.show()
