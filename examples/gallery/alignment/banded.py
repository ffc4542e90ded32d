"""
Banded alignment
================

Cells far from the diagonal are left out, so time and memory grow with the width of the band, which the grey lines show.
An insertion of seven letters does not fit into a narrow band; in a wider band the alignment is that of all cells.
"""

import matplotlib.pyplot as plt
import numpy as np

import dagdp
from dagdp import graphs, plot

rng = np.random.default_rng(0)
a = rng.integers(0, 4, 40)
b = np.concatenate([a[:12], rng.integers(0, 4, 7), a[12:30], a[37:]])
scores = np.where(a[:, None] == b, 2.0, -2.0)
figure, axes = plt.subplots(1, 3, figsize=(11, 4), layout="constrained")
for ax, band in zip(axes, (3, 8, None), strict=True):
    dag = dagdp.compile(graphs.alignment.pairwise_alignment(40, 40, band=band))
    theta = {"score": scores, "gap_open": np.array(-3.0), "gap_extend": np.array(-0.5)}
    value, expected = dagdp.dp_value_and_grad(dag, theta)
    plot.alignment_map(expected["score"], ax=ax)
    ax.set(title=f"band {band}: score {value:.1f}, {dag.num_nodes} nodes", xlabel="second", ylabel="first")
plt.show()
