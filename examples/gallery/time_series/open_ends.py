"""
Open ends
=========

A recording starts late and stops early. With relaxed ends the rest of the longer series need not be matched.
"""

import matplotlib.pyplot as plt
import numpy as np

from dagdp import Negentropy, plot
from dagdp.graphs import dtw_grad, dtw_path

whole = np.concatenate([np.full(12, 1.0), np.sin(np.linspace(0.0, 9.0, 40)), np.full(12, -1.0)])
part = np.sin(np.linspace(1.0, 8.0, 28))
calls = {
    "both ends fixed": {},
    "open end": {"open_end": True},
    "open begin and end": {"open_begin": True, "open_end": True},
    "psi=(0, 0, 14, 0)": {"psi": (0, 0, 14, 0)},
}

fig, panels = plt.subplots(2, 2, figsize=(9, 6), layout="constrained")
for ax, (name, options) in zip(panels.flat, calls.items(), strict=True):
    expected = dtw_grad(x=part, y=whole, omega=Negentropy(0.05), **options)
    path = dtw_path(x=part, y=whole, **options)
    plot.alignment_map(expected, a=part, b=whole, path=path, ax=ax)
    ax.set_xlabel(name)
plt.show()
