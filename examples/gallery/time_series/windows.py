"""
Windows
=======

A window limits where an alignment may go. Costs outside are never read. Shown is the expected alignment in each window.
"""

import matplotlib.pyplot as plt
import numpy as np

from dagdp import Negentropy
from dagdp.graphs import dtw_grad

x = np.sin(np.linspace(0.0, 7.0, 40))
y = np.sin(np.linspace(0.0, 7.0, 56) ** 1.2 / 7.0**0.2)
i, j = np.indices((40, 56))
windows = {
    "radius 3 (tslearn)": 3,
    '("slantedband", 6)': ("slantedband", 6),
    '("itakura", 2.0)': ("itakura", 2.0),
    "booleans": np.abs(i - 40 * np.sqrt(j / 56)) < 9,
}

fig, panels = plt.subplots(2, 2, figsize=(8, 6), sharex=True, sharey=True, layout="constrained")
for ax, (name, window) in zip(panels.flat, windows.items(), strict=True):
    flat = dtw_grad(np.zeros((40, 56)), window=window)  # positive at every cell that a path may visit
    expected = dtw_grad(x=x, y=y, omega=Negentropy(0.1), window=window)
    ax.imshow(np.where(flat > 0, expected, np.nan), cmap="viridis", vmin=0, vmax=1)
    ax.set_title(name)
fig.supxlabel("frame of y")
fig.supylabel("frame of x")
plt.show()
