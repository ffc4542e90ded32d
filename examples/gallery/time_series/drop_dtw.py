"""
Drop-DTW
========

Steps of a recipe are found in a video that shows other things in between. Frames that fit no step are dropped.
"""

import matplotlib.pyplot as plt
import numpy as np

import dagdp
from dagdp.graphs import time_series

rng = np.random.default_rng(0)
steps = np.eye(4)
truth = np.repeat([-1, 0, -1, 1, 2, -1, 3], [8, 6, 7, 8, 5, 9, 7])  # -1: something else
frames = np.where(truth[:, None] >= 0, steps[truth], 0.0) + 0.35 * rng.normal(size=(50, 4))
theta = {
    "cost": ((steps[:, None] - frames) ** 2).sum(-1),
    "drop_a": np.full(4, 5.0),  # to leave out a step is expensive
    "drop_b": np.full(50, 0.9),
}
dag = dagdp.compile(time_series.drop_dtw(4, 50))
value, expected = dagdp.dp_value_and_grad(dag, theta, dagdp.Negentropy(0.1))

fig, (top, bottom) = plt.subplots(2, 1, figsize=(9, 4.5), sharex=True, layout="constrained")
top.imshow(expected["cost"], aspect="auto", cmap="Blues", vmin=0, vmax=1)
top.plot(np.where(truth >= 0, truth, np.nan), color="tab:red", marker="s", ms=3, ls="", label="truth")
top.set(yticks=range(4), yticklabels=["wash", "cut", "fry", "serve"], title="probability that a frame shows a step")
top.legend(loc="lower left")
bottom.bar(range(50), expected["drop_b"], color="gray", width=1.0)
bottom.set(xlabel="frame", ylabel="probability", title="probability that a frame is dropped")
plt.show()
