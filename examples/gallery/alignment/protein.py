"""
Local alignment of proteins
===========================

Two pieces of haemoglobin with different ends, aligned by a score for groups of like amino acids. The second picture is
the gradient by the substitution matrix: which letters would have to score more for these proteins to be more alike.
"""

import matplotlib.pyplot as plt
import numpy as np

import dagdp
from dagdp import graphs, plot

groups = ["AGST", "C", "ILMV", "FWY", "DENQ", "HKR", "P"]  # small, aliphatic, aromatic, acid or amide, basic, ...
letters = "".join(groups)
kind = np.repeat(range(len(groups)), [len(group) for group in groups])
pair = np.where(kind[:, None] == kind, 1.0, -2.0) + 4.0 * np.eye(len(letters))
x, y = "MVLSPADKTNVKAAWGKVGAHAGEYGAEALE", "ETKWWSAVTALWGKVNVDEVGGEALGRLLVV"
numbers = [[letters.index(letter) for letter in word] for word in (x, y)]
dag = dagdp.compile(graphs.alignment.letter_alignment(*numbers, len(letters)))
theta = {"pair": pair, "gap_open": np.array(-6.0), "gap_extend": np.array(-1.0)}
expected = dagdp.dp_grad(dag, theta, dagdp.Negentropy(1.0))
scores = pair[np.ix_(*numbers)]
print(graphs.alignment_text(x, y, graphs.align_path(scores, -6.0, -1.0, "local")))

figure, (left, right) = plt.subplots(1, 2, figsize=(11, 5), layout="constrained")
plot.alignment_map(graphs.align_grad(scores, -6.0, -1.0, mode="local"), ax=left)
left.set_yticks(range(len(x)), x, fontsize=7)
left.set_xticks(range(len(y)), y, fontsize=7)
figure.colorbar(right.imshow(expected["pair"], cmap="Blues", vmin=0), ax=right, shrink=0.7)
right.set_xticks(range(20), letters)
right.set_yticks(range(20), letters)
right.set(title="expected pairs of letters")
plt.show()
