"""
Figure 1: two expected alignments
=================================

The gradient of dynamic time warping is an expected alignment. Negentropy gives each cell some probability, SquaredL2
gives most cells exactly 0. The line is the best alignment. This is figure 1 of the paper, for two series of our own.
"""

import matplotlib.pyplot as plt
import numpy as np

from dagdp import Negentropy, SquaredL2, plot
from dagdp.graphs import dtw_grad, dtw_path

t = np.linspace(0.0, 1.0, 60)
x = np.exp(-(((t - 0.3) / 0.07) ** 2)) - 0.7 * np.exp(-(((t - 0.6) / 0.06) ** 2)) + 0.5 * t
y = np.exp(-(((t - 0.42) / 0.1) ** 2)) - 0.7 * np.exp(-(((t - 0.78) / 0.05) ** 2)) + 0.5 * t
cost = (x[:, None] - y) ** 2

fig, panels = plt.subplots(1, 2, figsize=(9.5, 5), layout="constrained")
for ax, omega in zip(panels, (Negentropy(0.1), SquaredL2(0.1)), strict=True):
    expected = dtw_grad(cost, omega)
    ax = plot.alignment_map(expected, x, y, path=dtw_path(cost), ax=ax)
    zeros = 100 * np.mean(expected == 0)
    ax.set_xlabel(f"{type(omega).__name__}: {zeros:.0f} % of cells are exactly 0")
plt.show()
