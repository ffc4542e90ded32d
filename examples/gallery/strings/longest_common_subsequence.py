"""
Longest common subsequence
==========================

Two versions of a sentence share words in one order. The gradient is the probability that two words are paired; a word
with several possible partners shares it among them.
"""

import matplotlib.pyplot as plt
import numpy as np

import dagdp
from dagdp import graphs, plot

old = ["the", "cat", "sat", "on", "the", "old", "mat", "and", "slept"]
new = ["the", "old", "cat", "sat", "on", "a", "mat", "on", "a", "mat", "and", "it", "slept"]
equal = np.array([[x == y for y in new] for x in old])

dag = dagdp.compile(graphs.strings.longest_common_subsequence(len(old), len(new)))
match = np.where(equal, 1.0, -np.inf)
length = dagdp.dp_value(dag, match, dagdp.HardMax())
paired = dagdp.dp_grad(dag, match, dagdp.Negentropy(0.2))

ax = plot.attention_map(paired, rows=old, columns=new, colorbar=True)
ax.set(xlabel=f"the longest common subsequence has {length:.0f} words")
plt.show()
