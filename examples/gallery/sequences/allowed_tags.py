"""
Allowed tags
============

Someone has tagged two words of a sentence, and allows some tags for a third. A chain with only these tags says what
they mean for the other words; the two values give the loss for training.
"""

import matplotlib.pyplot as plt
import numpy as np

import dagdp
from dagdp import graphs, plot

words, tags = ["they", "can", "fish", "in", "the", "old", "can"], ["noun", "verb", "other"]
T, S = len(words), len(tags)
allowed = np.ones((T, S), bool)
allowed[1] = [False, True, False]  # a verb
allowed[2] = [True, True, False]  # a noun or a verb
allowed[6] = [True, False, False]  # a noun
transition = np.array([[0.0, 1.0, 1.5], [1.5, -1.0, 0.0], [0.5, 1.0, 0.5]])  # [to, from]
emission = np.array([[1, 0, 1], [1, 1, 1], [2, 1, 0], [0, 0, 3], [0, 0, 3], [0, 0, 2], [1, 1, 1]], float)
theta = {"emission": emission, "transition": transition, "start": np.zeros(S), "end": np.zeros(S)}

figure, axes = plt.subplots(1, 2, figsize=(9, 3), sharey=True, layout="constrained")
values = []
for ax, name, tagged in zip(axes, ("all tags", "allowed tags"), (np.ones_like(allowed), allowed), strict=True):
    value, expected = dagdp.dp_value_and_grad(dagdp.compile(graphs.sequences.allowed_chain(tagged)), theta)
    plot.trellis_marginals(expected["emission"], states=tags, steps=words, ax=ax)
    ax.set(title=name)
    values.append(value)
figure.suptitle(f"log probability of what is known: {values[1] - values[0]:.2f}")
plt.show()
