"""
Linear chain
============

A linear-chain CRF scores sequences of tags. The gradient of its value is the probability of each tag at each step.
"""

import matplotlib.pyplot as plt
import numpy as np

import dagdp
from dagdp import graphs, plot

T, S = 12, 3
rng = np.random.default_rng(0)
true = np.repeat([0, 2, 1], 4)
theta = {
    "emission": 2.0 * np.eye(S)[true] + rng.normal(size=(T, S)),
    "transition": 1.5 * np.eye(S),  # a tag is likely to stay
    "start": np.zeros(S),
    "end": np.zeros(S),
}
dag = dagdp.compile(graphs.linear_chain(T, S))
value, expected = dagdp.dp_value_and_grad(dag, theta, dagdp.Negentropy(1.0))

plot.trellis_marginals(expected["emission"], states=["noun", "verb", "name"], truth=true)
plt.show()
