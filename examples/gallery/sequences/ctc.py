"""
CTC
===

A network scores classes frame by frame, and only the word is known. The map shows the probability of each class at each
frame, given the word; dots are the best alignment. "-" is the blank.
"""

import matplotlib.pyplot as plt
import numpy as np

from dagdp import graphs, plot

classes = "-helo"
target = [classes.index(letter) for letter in "hello"]
spoken = "--hh--eeee--lll--ll---oooo--"
rng = np.random.default_rng(0)
logits = 1.8 * np.eye(5)[[classes.index(letter) for letter in spoken]] + rng.normal(size=(len(spoken), 5))
log_probs = logits - np.log(np.exp(logits).sum(-1, keepdims=True))

lengths = len(spoken), len(target)
loss = graphs.ctc_loss(log_probs, target, *lengths, reduction="sum")
expected = graphs.ctc_marginals(log_probs, target, *lengths)
best = graphs.ctc_path(log_probs, target, *lengths)

ax = plot.trellis_marginals(expected, states=list(classes), truth=best)
ax.set(xlabel="frame", title=f"-log p(hello) = {loss:.1f}")
plt.show()
