"""
Coin change
===========

The number of ways to pay an amount, and the expected number of coins of each kind when each coin has a price.
"""

import matplotlib.pyplot as plt
import numpy as np

import dagdp
from dagdp.graphs import classics

coins, amount = [1, 5, 10, 25, 50], 100
dag = dagdp.compile(classics.coin_change(coins, amount))
prices = np.linspace(0, 3, 31)
price = np.broadcast_to(prices[:, None], (31, len(coins)))  # a batch: one price for all coins
expected = dagdp.dp_grad(dag, price, dagdp.Negentropy(1.0))

fig, ax = plt.subplots(layout="constrained")
ax.stackplot(
    prices,
    (expected * coins).T,
    labels=[f"{coin} cents" for coin in coins],
    colors=plt.cm.Blues(np.linspace(0.2, 1, 5)),
)
ax.set(xlabel="price of a coin", ylabel="cents paid by each kind", xlim=(0, 3), ylim=(0, amount))
ax.set_title(f"{dagdp.count_paths(dag)} ways to pay {amount} cents")
ax.legend(loc="lower right")
plt.show()
