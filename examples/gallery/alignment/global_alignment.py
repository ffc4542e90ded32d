"""
Global alignment
================

Two pieces of haemoglobin, alpha and beta. Dark cells are pairs of letters that most alignments have; the line is the
best alignment. Where alignments of nearly equal score differ, the map is spread.
"""

import matplotlib.pyplot as plt
import numpy as np

from dagdp import Negentropy, graphs, plot

alpha, beta = "VLSPADKTNVKAAWGKVGAHAGEYG", "VHLTPEEKSAVTALWGKVNVDEVGG"
scores = np.where(np.array(list(alpha))[:, None] == np.array(list(beta)), 4.0, -1.0)
matches = graphs.align_grad(scores, -3.0, omega=Negentropy(1.0))
path = graphs.align_path(scores, -3.0)
print(graphs.alignment_text(alpha, beta, path))

ax = plot.alignment_map(matches, path=path, colorbar=True)
ax.set_yticks(range(len(alpha)), alpha)
ax.tick_params(labelleft=True)
ax.set_xticks(range(len(beta)), beta)
ax.set(xlabel="haemoglobin beta", ylabel="haemoglobin alpha")
plt.show()
