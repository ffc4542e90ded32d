"""
Edit distance
=============

A scanner reads o as 0 and l as 1. From words as read and words as meant, gradients of edit distances learn what such a
mistake costs, so that the word meant becomes the nearest one.
"""

import matplotlib.pyplot as plt
import torch

from dagdp import Negentropy, graphs

letters, words = "cold01", ["cold", "clod", "loco", "doll", "old", "cod"]
read = ["c0ld", "c1od", "1oco", "do1l", "01d", "c0d", "co1d", "cl0d", "loc0", "d0ll"]
meant = torch.tensor([0, 1, 2, 3, 4, 5, 0, 1, 2, 3])
a, b = ([[letters.index(letter) for letter in word] for word in text] for text in (read, words))
pairs = [x for x in a for _ in b], [y for _ in a for y in b]  # each word read beside each word of the dictionary

log_cost = torch.zeros(6, 6, requires_grad=True)  # of a substitution, [read, meant]
for _ in range(60):
    distance = graphs.edit_distance(*pairs, {"substitution": log_cost.exp()}, Negentropy(0.2)).reshape(len(a), len(b))
    loss = torch.nn.functional.cross_entropy(-distance, meant)
    with torch.no_grad():
        log_cost -= 2.0 * torch.autograd.grad(loss, log_cost)[0]

cost = log_cost.exp().detach().fill_diagonal_(torch.nan)
plt.imshow(cost.numpy()[:, :4], vmin=0.0, cmap="viridis")
plt.colorbar(label="cost of a substitution, 1 before training")
plt.gca().set(xlabel="letter meant", ylabel="letter read")
plt.gca().set(xticks=range(4), yticks=range(6), xticklabels=letters[:4], yticklabels=letters)
plt.show()
