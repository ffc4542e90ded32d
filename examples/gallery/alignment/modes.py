"""
Four modes of alignment
=======================

Where may an alignment begin and end? One pair of strings has a different expected alignment in each mode: from end to
end, any parts of both, all of the first in a part of the second, and free ends on both sides.
"""

import matplotlib.pyplot as plt
import numpy as np

from dagdp import graphs, plot

a, b = "CCATTCGACCTAGT", "AGACCTAGCTTCAATCGCC"
scores = np.where(np.array(list(a))[:, None] == np.array(list(b)), 2.0, -2.0)
figure, axes = plt.subplots(2, 2, figsize=(9, 7), layout="constrained")
for ax, mode in zip(axes.flat, graphs.alignment.MODES, strict=True):
    matches = graphs.align_grad(scores, -3.0, -1.0, mode=mode)
    plot.alignment_map(matches, path=graphs.align_path(scores, -3.0, -1.0, mode), ax=ax)
    ax.set_yticks(range(len(a)), a)
    ax.set_xticks(range(len(b)), b)
    ax.set_title(mode)
plt.show()
