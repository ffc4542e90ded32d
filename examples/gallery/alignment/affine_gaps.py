"""
Affine gaps
===========

With linear gaps one long gap costs as much as many short ones, so letters are paired here and there by chance. With
affine gaps a gap is dear to open and cheap to extend, and inserted letters stay together. The lines are best
alignments; with linear gaps there are many.
"""

import matplotlib.pyplot as plt
import numpy as np

from dagdp import graphs, plot

a, b = "ACGTTGCACTGA", "ACGTATCGGTCATGCACTGA"
scores = np.where(np.array(list(a))[:, None] == np.array(list(b)), 2.0, -3.0)
figure, axes = plt.subplots(2, 1, figsize=(8, 8), layout="constrained")
for ax, (name, prices) in zip(axes, {"linear": (-1.0, None), "affine": (-3.0, -0.5)}.items(), strict=True):
    path = graphs.align_path(scores, *prices)
    plot.alignment_map(graphs.align_grad(scores, *prices), path=path, ax=ax)
    ax.set_yticks(range(len(a)), a)
    ax.set_xticks(range(len(b)), b)
    text = graphs.alignment_text(a, b, path)
    ax.set_xlabel(text, family="monospace", labelpad=10)
    ax.set_title(f"{name} gaps")
plt.show()
