"""
CKY
===

Two parses share the chart of an ambiguous sentence. The color of a span is the probability that it is a phrase.
"""

import matplotlib.pyplot as plt
import numpy as np

import dagdp
from dagdp.graphs import trees

words, symbols = ["astronomers", "saw", "stars", "with", "ears"], ["S", "NP", "VP", "PP", "V", "P"]
rules = {"S NP VP": 1.0, "NP NP PP": 0.4, "VP V NP": 0.7, "VP VP PP": 0.3, "PP P NP": 1.0}
lexicon = [("NP", 0.1), ("V", 1.0), ("NP", 0.18), ("P", 1.0), ("NP", 0.18)]
n, K = len(words), len(symbols)
theta = {"lexical": np.full((n, K), -np.inf), "rule": np.full((K, K, K), -np.inf)}
for rule, probability in rules.items():
    theta["rule"][tuple(symbols.index(name) for name in rule.split())] = np.log(probability)
for i, (name, probability) in enumerate(lexicon):
    theta["lexical"][i, symbols.index(name)] = np.log(probability)
dag = dagdp.compile(trees.cky(n, K))
visits = dagdp.node_marginals(dag, theta)
fig, ax = plt.subplots(layout="constrained")
for i, k in zip(*np.triu_indices(n), strict=True):
    chance = visits[dag.cell("c", i, k + 1, np.arange(K))]
    ax.barh(n - (k - i), 0.96, 0.9, (i + k) / 2 - 0.48, color=plt.cm.Blues(0.5 * chance.sum()), edgecolor="gray")
    if chance.sum() > 0.01:
        ax.text((i + k) / 2, n - (k - i), f"{symbols[chance.argmax()]}\n{chance.max():.2f}", ha="center", va="center")
ax.set(
    xticks=range(n), xticklabels=words, yticks=range(1, n + 1), yticklabels=range(n, 0, -1), ylabel="words in a span"
)
plt.show()
