"""
Text justification
==================

Breaks of a paragraph into lines of least squared slack, and the probability of a break behind each word.
"""

import itertools

import matplotlib.pyplot as plt
import numpy as np

import dagdp
from dagdp.graphs import classics

text = "In olden times when wishing still helped one, there lived a king whose daughters were all beautiful"
words = text.split()
dag = dagdp.compile(classics.justification([len(word) for word in words], 24))
price = np.array(0.02)
best = [j for _, j in dagdp.best_path(dag, price).names(dag)]
chance = dagdp.node_marginals(dag, price, dagdp.Negentropy(1.0))[dag.cell("lines", np.arange(len(words) + 1))]

fig, ax = plt.subplots(figsize=(8, 4), layout="constrained")
for line, (a, b) in enumerate(itertools.pairwise(best)):
    at = 0
    for k in range(a, b):
        ax.text(at, -line, words[k], family="monospace", va="center", fontsize=21)
        ax.barh(-line - 0.35, len(words[k]), 0.12, at, color=plt.cm.Reds(chance[k + 1]), edgecolor="lightgray")
        at += len(words[k]) + 1
ax.axvline(24, color="gray", linestyle=":")
ax.set(xlim=(-0.5, 27), ylim=(1.4 - len(best), 0.6), yticks=[], xlabel="letters")
ax.set_title("red: a line breaks behind the word")
plt.show()
