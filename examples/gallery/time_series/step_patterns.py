"""
Step patterns
=============

A step pattern says which moves an alignment may make, and what they pay. Slope limits keep it from standing still.
"""

import matplotlib.pyplot as plt
import numpy as np

from dagdp.graphs import dtw_path

t = np.linspace(0.0, 1.0, 40)
x = np.sin(8.0 * t) + 0.6 * (t > 0.5)  # a plateau that invites long runs of one frame
y = np.sin(8.0 * t**1.6)
theta = (x[:, None] - y) ** 2
names = ["symmetric1", "symmetric2", "symmetricP1", "asymmetric", "rabiner-juang-4c", "asymmetricP2"]

fig, panels = plt.subplots(2, 3, figsize=(8, 5.6), sharex=True, sharey=True, layout="constrained")
for ax, name in zip(panels.flat, names, strict=True):
    path = dtw_path(theta, steps=name)
    path = path[path[:, 0] >= 0]
    ax.imshow(theta, cmap="Blues", vmax=4.0)
    ax.plot(path[:, 1], path[:, 0], color="tab:red", marker=".", ms=3, lw=1)
    ax.set_title(name)
fig.supxlabel("frame of y")
fig.supylabel("frame of x")
plt.show()
