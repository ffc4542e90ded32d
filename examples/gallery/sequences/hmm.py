"""
Hidden Markov model
===================

A casino swaps a fair die for a loaded one now and then. The posterior says when, from the rolls alone; draws of whole
sequences of dice show how sure that is.
"""

import matplotlib.pyplot as plt
import numpy as np

from dagdp import graphs, plot

rng = np.random.default_rng(2)
die = np.repeat([0, 1, 0], [25, 15, 20])  # 0 fair, 1 loaded
faces = np.array([[1 / 6] * 6, [0.1] * 5 + [0.5]])
rolls = np.array([rng.choice(6, p=faces[state]) for state in die])

start, transition = np.log([0.5, 0.5]), np.log([[0.95, 0.1], [0.05, 0.9]])  # [to, from]: hmmlearn's transmat_.T
given = start, transition, np.log(faces[:, rolls].T)
posterior, draws = graphs.hmm_posterior(*given), graphs.hmm_sample(*given, n=12, seed=0)

figure, (above, below) = plt.subplots(2, figsize=(8, 4.5), layout="constrained")
plot.trellis_marginals(posterior, states=["fair", "loaded"], truth=die, ax=above)
above.set(title="posterior, and the true die", xlabel="roll", xticks=range(0, 60, 5))
below.imshow(draws, cmap="Blues", aspect="auto", interpolation="nearest")
below.set(title="12 draws: the loaded die is dark", xlabel="roll", xticks=range(0, 60, 5), yticks=[])
plt.show()
