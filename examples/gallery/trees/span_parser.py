"""
Spans
=====

A span parser scores each span with each label. Samples of trees, and the probability of each span, from one graph.
"""

import matplotlib.pyplot as plt
import numpy as np

import dagdp
from dagdp.graphs import trees

words = ["time", "flies", "like", "an", "arrow"]
n, K = len(words), 1
span = np.zeros((n, n + 1, K))  # [first word, word behind the last, label]
span[0, 2], span[1, 5], span[2, 5], span[3, 5] = 1.5, 1.4, 1.5, 3.0
dag = dagdp.compile(trees.span_parser(n, K))
probability = dagdp.dp_grad(dag, span, dagdp.Negentropy(1.0))[..., 0]
drawn = dagdp.sample_paths(dag, span, dagdp.Negentropy(1.0), n=3, seed=1).entries(dag, "span")

fig, axes = plt.subplots(1, 4, sharey=True, figsize=(11, 3), layout="constrained")
places = [(i, k, probability[i, k]) for i in range(n) for k in range(i + 2, n + 1)]
samples = [[(i, k, 1.0) for i, k, _ in tree.tolist() if k > i + 1] for tree in drawn]
for ax, shown, title in zip(axes, [places, *samples], ["probability", *["sample"] * 3], strict=True):
    for i, k, chance in shown:
        ax.barh(k - i, k - i - 0.2, 0.3, i + 0.1, color="tab:blue", alpha=chance)
    ax.set(title=title, xticks=np.arange(n) + 0.5, xlim=(0, n))
    ax.set_xticklabels(words, rotation=45)
axes[0].set(ylabel="words in a span", yticks=range(2, n + 1))
plt.show()
