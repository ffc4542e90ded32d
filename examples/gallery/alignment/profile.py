"""
Alignment of profiles
=====================

A profile has the frequency of each letter in each column of a family of sequences. The score of two columns is their
expected substitution score, p @ S @ q.T, and the gradient by S is a sum over the expected pairs of columns.
"""

import matplotlib.pyplot as plt
import numpy as np

from dagdp import graphs, plot

families = [["GATTACA", "GATCACA", "GACTACA", "GATTACA"], ["GTTACACC", "GTTACATC", "GTTGCACC", "GCTACACC"]]
p, q = (np.stack([[column.count(c) / 4 for c in "ACGT"] for column in zip(*words, strict=True)]) for words in families)
S = 5.0 * np.eye(4) - 2.0
scores = p @ S @ q.T
matches = graphs.align_grad(scores, -3.0, -1.0)
by_letters = p.T @ matches @ q  # the gradient by S: how often a letter is paired with a letter

figure, (left, right) = plt.subplots(1, 2, figsize=(9, 4), layout="constrained")
plot.alignment_map(matches, path=graphs.align_path(scores, -3.0, -1.0), ax=left)
left.set(xlabel="column of the second family", ylabel="column of the first family", title="expected pairs of columns")
image = right.imshow(by_letters, cmap="Blues", vmin=0)
right.set_xticks(range(4), "ACGT")
right.set_yticks(range(4), "ACGT")
right.set(title="expected pairs of letters")
figure.colorbar(image, ax=right, shrink=0.7)
plt.show()
