"""
Pair hidden Markov model
========================

A pair HMM emits two strings, letter by letter: a pair, or a letter of one of them. The gradient of the forward value
is the posterior probability of each pair, and tells how sure the model is of each part of the best alignment.
"""

import matplotlib.pyplot as plt
import numpy as np

import dagdp
from dagdp import graphs, plot

x, y = "GATTACAGATTACA", "GATCAGGATTTACA"
same = np.array(list(x))[:, None] == np.array(list(y))
opening, extending, ending = 0.1, 0.4, 0.05
to_gap, gap = [opening, opening], [1 - extending - ending, extending, 0.0]
rows = np.array([[1 - 2 * opening - ending, *to_gap], gap, [gap[0], 0.0, extending]])  # [from, to]
with np.errstate(divide="ignore"):  # no gap follows a gap in the other string
    transition = np.log(rows.T)
theta = {"match": np.log(np.where(same, 0.22, 0.01)), "x_alone": np.full(14, np.log(0.25)), "transition": transition}
theta |= {"y_alone": theta["x_alone"], "start": transition[:, 0], "end": np.full(3, np.log(ending))}
dag = dagdp.compile(graphs.alignment.pair_hmm(14, 14))
posterior = dagdp.dp_grad(dag, theta, dagdp.Negentropy(1.0))["match"]
viterbi = dagdp.dp_grad(dag, theta, dagdp.HardMax())["match"]
ax = plot.alignment_map(posterior, path=np.argwhere(viterbi > 0.5), colorbar=True)
ax.set_yticks(range(14), x)
ax.set_xticks(range(14), y)
ax.set_title("posterior of each pair, and the best path")
plt.show()
