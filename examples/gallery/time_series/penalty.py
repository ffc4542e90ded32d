"""
Penalty
=======

A penalty for each step off the diagonal stops an alignment from warping without a reason.
"""

import matplotlib.pyplot as plt
import numpy as np

from dagdp import Negentropy, plot
from dagdp.graphs import dtw_grad, dtw_value

rng = np.random.default_rng(1)
t = np.linspace(0.0, 7.0, 50)
x, y = np.sin(t) + 0.2 * rng.normal(size=50), np.sin(t + 0.4) + 0.2 * rng.normal(size=50)

fig, panels = plt.subplots(1, 3, figsize=(10, 3.8), layout="constrained")
for ax, penalty in zip(panels, (0.0, 0.05, 0.5), strict=True):
    options = {"x": x, "y": y, "omega": Negentropy(0.02), "penalty": penalty}
    plot.alignment_map(dtw_grad(**options), a=x, b=y, ax=ax)
    ax.set_xlabel(f"penalty {penalty}: value {dtw_value(**options):.2f}")
plt.show()
