"""
Subsequence
===========

Where in a long recording does a short query occur? The last row of the accumulated costs has a dip at each match.
"""

import matplotlib.pyplot as plt
import numpy as np

from dagdp import HardMax
from dagdp.graphs import dtw_accumulated, dtw_subsequence

rng = np.random.default_rng(0)
query = np.sin(np.linspace(0.0, 6.0, 30)) * np.linspace(0.3, 1.0, 30)
record = 0.5 * rng.normal(size=220).cumsum() / 4.0
for start, length in ((30, 24), (140, 40)):
    record[start : start + length] = np.interp(np.linspace(0, 29, length), np.arange(30), query)
record += 0.05 * rng.normal(size=220)

value, path, begin, end = dtw_subsequence(x=query, y=record, omega=HardMax())
costs = dtw_accumulated(x=query, y=record, omega=HardMax(), open_begin=True)[-1]

fig, (top, bottom) = plt.subplots(2, 1, figsize=(8, 5), sharex=True, layout="constrained")
top.plot(record, color="gray", label="recording")
top.plot(
    np.arange(begin, end + 1), record[begin : end + 1], color="tab:red", lw=2, label=f"best match, cost {value:.2f}"
)
top.plot(np.arange(30) - 35, query, color="tab:blue", label="query")
top.set_ylim(-1.2, 2.4)
top.legend(loc="upper center", ncols=3)
bottom.plot(costs, color="tab:purple")
bottom.set(xlabel="frame at which the match ends", ylabel="cost of the match", yscale="log")
plt.show()
