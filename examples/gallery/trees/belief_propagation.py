"""
Loopy belief propagation
========================

Unrolled rounds of messages on a grid of pixels remove noise from an image; the beliefs are differentiable.
"""

import matplotlib.pyplot as plt
import numpy as np

import dagdp
from dagdp.graphs import trees

size, rounds = 16, 5
row, column = np.indices((size, size)) - 7.5
truth = (np.abs(np.hypot(row, column) - 5) < 1.6).astype(float)
noisy = np.where(np.random.default_rng(0).random(truth.shape) < 0.12, 1 - truth, truth)
pixel = np.arange(size * size).reshape(size, size)
right, down = np.stack([pixel[:, :-1], pixel[:, 1:]], -1), np.stack([pixel[:-1], pixel[1:]], -1)
edges = np.concatenate([right.reshape(-1, 2), down.reshape(-1, 2)])
theta = {
    "unary": np.stack([1 - noisy, noisy], -1).reshape(-1, 2),
    "pairwise": np.broadcast_to(0.8 * np.eye(2), (len(edges), 2, 2)),  # neighbours are mostly alike
}
dag = dagdp.compile(trees.belief_propagation(size * size, 2, edges, rounds))
belief = dagdp.node_marginals(dag, theta)[dag.cell("belief", pixel, 1)]
fig, axes = plt.subplots(1, 3, figsize=(9, 3.2), layout="constrained")
titles = ["truth", "noisy", f"beliefs after {rounds} rounds"]
for ax, image, title in zip(axes, [truth, noisy, belief], titles, strict=True):
    ax.imshow(image, cmap="Blues", vmin=0, vmax=1)
    ax.set(title=title, xticks=[], yticks=[])
plt.show()
