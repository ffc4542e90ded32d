"""
Factorial chain
===============

Two devices are switched on and off, and one meter shows the sum of what they draw. Each device is a chain of its own;
the meter couples them.
"""

import matplotlib.pyplot as plt
import numpy as np

import dagdp
from dagdp import graphs, plot

T, kettle, heater = 40, np.array([0.0, 2.0]), np.array([0.0, 1.0, 1.5])  # kW in each state
rng = np.random.default_rng(0)
truth = np.repeat([0, 1, 0, 1, 0], [8, 6, 12, 8, 6]), np.repeat([0, 2, 1, 0], [4, 14, 14, 8])
meter = kettle[truth[0]] + heater[truth[1]] + 0.35 * rng.normal(size=T)
theta = {
    "first": np.zeros((T, 2)),
    "second": np.zeros((T, 3)),
    "first_transition": np.log([[0.9, 0.1], [0.1, 0.9]]),
    "second_transition": np.log(np.full((3, 3), 0.05) + 0.85 * np.eye(3)),
    "coupling": -((meter[:, None, None] - kettle[:, None] - heater) ** 2) / (2 * 0.35**2),
}
expected = dagdp.dp_grad(dagdp.compile(graphs.sequences.factorial_chain(T, 2, 3)), theta)

figure, axes = plt.subplots(3, figsize=(8, 5.5), sharex=True, layout="constrained")
axes[0].plot(meter, ".-")
axes[0].set(ylabel="meter, kW")
plot.trellis_marginals(expected["first"], states=["off", "on"], truth=truth[0], ax=axes[1])
plot.trellis_marginals(expected["second"], states=["off", "low", "high"], truth=truth[1], ax=axes[2])
axes[1].set(ylabel="kettle")
axes[2].set(ylabel="heater", xlabel="minute", xticks=range(0, T, 5))
plt.show()
