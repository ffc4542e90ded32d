"""
Monotonic alignment
===================

Each phoneme takes at least one frame of speech, in order. Left: the probability of each pair, under a smoothed maximum.
Right: the best alignment, as the search of Glow-TTS finds it.
"""

import matplotlib.pyplot as plt
import numpy as np

from dagdp import Negentropy, graphs, plot

phonemes = ["HH", "AH", "L", "OW", "W", "ER", "L", "D"]
durations = [3, 4, 3, 6, 2, 7, 3, 2]
rng = np.random.default_rng(0)
sounds = rng.normal(size=(len(phonemes), 4))
frames = np.repeat(sounds, durations, 0) + rng.normal(size=(sum(durations), 4))
scores = -0.5 * ((sounds[:, None] - frames) ** 2).sum(-1)  # log-likelihood of a frame under a phoneme

expected = graphs.monotonic_alignment(scores, omega=Negentropy(1.0))
best = graphs.monotonic_alignment(scores)

figure, axes = plt.subplots(1, 2, figsize=(9, 3), sharey=True, layout="constrained")
for ax, alignment, title in zip(axes, (expected, best), ("expected", "best"), strict=True):
    plot.attention_map(alignment, rows=phonemes, ax=ax)
    ax.set(xlabel="frame", title=title)
    ax.xaxis.tick_bottom()
plt.show()
