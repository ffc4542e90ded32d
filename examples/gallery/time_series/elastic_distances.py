"""
Elastic distances
=================

A wave is compared with shifted copies of itself. Distances differ in what they charge for being out of step.
"""

import matplotlib.pyplot as plt
import numpy as np

from dagdp.graphs import edr_distance, erp_distance, lcss_length, msm_distance, twe_distance

t = np.arange(60)
bump = np.exp(-(((t - 25) / 5.0) ** 2))
shifts = np.arange(21)
copies = np.stack([np.exp(-(((t - 25 - shift) / 5.0) ** 2)) for shift in shifts])[..., None]
x = np.broadcast_to(bump[:, None], copies.shape)
curves = {
    "Euclidean": np.sqrt(((x - copies) ** 2).sum((-2, -1))),
    "ERP": erp_distance(x, copies, g=0.05),
    "EDR": edr_distance(x, copies, epsilon=0.1),
    "LCSS": 60 - lcss_length(x, copies, epsilon=0.1),
    "TWE": twe_distance(x, copies, nu=0.01, lmbda=0.1),
    "MSM": msm_distance(x, copies, c=0.1),
}
fig, ax = plt.subplots(figsize=(7, 4), layout="constrained")
for name, values in curves.items():
    ax.plot(shifts[1:], values[1:], marker=".", label=name)
ax.set(xlabel="shift in frames", ylabel="distance", yscale="log")
ax.legend(ncols=2)
plt.show()
