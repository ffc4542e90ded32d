"""
Gaps of two pieces
==================

minimap2 prices a gap by the better of two affine functions. A long deletion, such as an intron, then costs little more
than a shorter one. The gradient by the prices tells how often each piece is used.
"""

import matplotlib.pyplot as plt
import numpy as np

import dagdp
from dagdp import graphs

sizes = np.arange(1, 41)
prices = {"gap_open": np.array([-2.0, -8.0]), "gap_extend": np.array([-1.0, -0.1])}
used = np.zeros((sizes.size, 2))
for row, size in enumerate(sizes):  # 20 letters that agree, and `size` letters more in the second sequence
    dag = dagdp.compile(graphs.alignment.pairwise_alignment(20, 20 + size, gaps="two_piece", band=42))
    scores = np.full((20, 20 + size), -6.0)
    for i in range(20):
        scores[i, i + size * (i >= 10)] = 3.0
    used[row] = dagdp.dp_grad(dag, {"score": scores, **prices}, dagdp.Negentropy(0.5))["gap_open"]

figure, (above, below) = plt.subplots(2, 1, sharex=True, layout="constrained")
for piece in (0, 1):
    above.plot(sizes, prices["gap_open"][piece] + (sizes - 1) * prices["gap_extend"][piece], label=f"piece {piece}")
    below.plot(sizes, used[:, piece], label=f"piece {piece}")
above.set(ylabel="score of a gap")
below.set(xlabel="letters in the gap", ylabel="expected gaps of a piece")
above.legend()
plt.show()
