"""
Structured attention
====================

Softmax attention weighs each position of a sequence by itself. Structured attention (section 5 of the paper) weighs
positions by a distribution over *structures*, such as segmentations of the sequence: the weight of a position is its
marginal, read from the expected path of a dynamic program. The expected path is a differentiable layer.

You will write such a layer in 15 lines with :class:`dagdp.nn.DPGrad`, train it on a task whose right weights are known,
compare dense and sparse operators, restrict the structure to one segment, and check the gradient through the layer.
"""

import matplotlib.pyplot as plt
import torch
from torch import nn

import dagdp
from dagdp import Negentropy, SquaredL2, plot
from dagdp.graphs import linear_chain
from dagdp.nn import DPGrad

# %%
# A task whose answer is known
# ----------------------------
#
# An item is a sequence of 24 vectors. One segment of 4 to 10 positions matters, and the target is the mean of the
# values there. So the right weights are 1/length inside of the segment and 0 outside. A noisy cue says where the
# segment is: a position alone is hard to judge, its neighbours help.

T, VALUES = 24, 4


def make_batch(count):
    """(cues [B, T, 1], values [B, T, 4], right weights [B, T])."""
    length = torch.randint(4, 11, (count, 1))
    first = (torch.rand(count, 1) * (T - length + 1)).long()
    inside = ((torch.arange(T) >= first) & (torch.arange(T) < first + length)).float()
    cues = 2 * inside - 1 + 1.2 * torch.randn(count, T)
    return cues[..., None], torch.randn(count, T, VALUES), inside / length


# %%
# Attention from a chain of two states
# ------------------------------------
#
# A path through the chain says "attend" (state 1) or "pass over" (state 0) at each position. Attending to a position
# adds its score; each pair of neighbouring states adds a learnt entry of ``transition``, indexed ``[to, from]``.
# ``DPGrad`` returns the expected path in the shape of its input: ``["emission"][..., 1]`` is p(attend to t). Divided by
# their sum these are the weights. ``emission`` has a batch in front; the other three arrays have none, so the batch
# shares them.


class ChainAttention(nn.Module):
    """Weights [B, T] from scores [B, T]: normalised marginals of the state 1."""

    def __init__(self, omega, states=2):
        super().__init__()
        self.expected_path = DPGrad(dagdp.compile(linear_chain(T, states)), omega)
        self.transition = nn.Parameter(torch.zeros(states, states))
        self.start, self.end = torch.zeros(states), torch.zeros(states)

    def forward(self, scores):
        emission = torch.zeros(*scores.shape, len(self.start))
        emission[..., 1] = scores
        theta = {"emission": emission, "transition": self.transition, "start": self.start, "end": self.end}
        attended = self.expected_path(theta)["emission"][..., 1]
        return attended / attended.sum(-1, keepdim=True).clamp_min(1e-6)


class Softmax(nn.Module):
    def forward(self, scores):
        return scores.softmax(-1)


# %%
# Training
# --------
#
# The network around it is one linear map from the cue to the score. The loss compares the context vector, the weighted
# mean of values, with the target. It never sees the segment. The distance to the right weights is reported only.


class Model(nn.Module):
    def __init__(self, attention):
        super().__init__()
        self.score, self.attention = nn.Linear(1, 1), attention

    def forward(self, cues):
        return self.attention(self.score(cues).squeeze(-1))


def train(model, steps=200):
    torch.manual_seed(0)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.05)
    for _ in range(steps):
        cues, values, right = make_batch(32)
        context = (model(cues)[..., None] * values).sum(-2)
        loss = (context - (right[..., None] * values).sum(-2)).square().sum(-1).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model


def report(title, model):
    with torch.no_grad():
        weights = model(cues)
    error, zeros = (weights - right).abs().sum(-1).mean(), (weights == 0).float().mean()
    print(f"{title:30} distance to the right weights {error:.2f}, {zeros:.0%} of the weights are exactly 0")
    return weights


torch.manual_seed(1)
cues, values, right = make_batch(500)
torch.manual_seed(0)
models = {
    "softmax": Model(Softmax()),
    "chain, Negentropy(1.0)": Model(ChainAttention(Negentropy(1.0))),
    "chain, SquaredL2(2.0)": Model(ChainAttention(SquaredL2(2.0))),
}
weights = {title: report(title, train(model)) for title, model in models.items()}
print(f"{'answer':30} {(right == 0).float().mean():.0%} of the weights are 0")
learnt = models["chain, Negentropy(1.0)"].attention.transition.tolist()
print("transition [to, from]", [[round(score, 1) for score in row] for row in learnt])

# %%
# One segment, and no other structure
# -----------------------------------
#
# We know more: exactly one segment matters. Three states, before (0), inside (1) and behind (2), say so: a path may
# only stay or go on, and must pass through state 1. Forbidden steps have the score -inf; they get probability exactly 0
# and no gradient. A path that ends in state 0 would attend nowhere.


class SegmentAttention(ChainAttention):
    def __init__(self, omega):
        super().__init__(omega, states=3)
        legal = torch.tensor([[1, 0, 0], [1, 1, 0], [0, 1, 1]]).bool()  # [to, from]
        self.transition = nn.Parameter(torch.zeros(3, 3).masked_fill(~legal, -torch.inf))
        self.start, self.end = torch.tensor([0.0, 0.0, -torch.inf]), torch.tensor([-torch.inf, 0.0, 0.0])


for omega in (Negentropy(1.0), SquaredL2(2.0)):
    title = f"segment, {type(omega).__name__}({omega.gamma})"
    models[title] = Model(SegmentAttention(omega))
    weights[title] = report(title, train(models[title]))

# %%
# Weights of two items, each row divided by its largest weight. A line surrounds the weights that are not 0. Softmax
# follows the noise of single cues; the chains fill gaps; the sparse ones say where nothing matters.

rows = {"cue > 0": (cues[..., 0] > 0).float(), "answer": right, **weights}
fig, axes = plt.subplots(2, 1, figsize=(7.0, 5.6), layout="constrained")
for item, ax in enumerate(axes):
    shown = torch.stack([row[item] / row[item].max() for row in rows.values()])
    plot.attention_map(shown, rows=list(rows), columns=range(T), ax=ax)
plt.show()

# %%
# The gradient through the expected path
# --------------------------------------
#
# The expected path E is the gradient of :func:`dagdp.dp_value`. So the gradient of ⟨E, z⟩ by the scores θ is the
# Hessian of the value times z: the backward pass of ``DPGrad`` is one :func:`dagdp.dp_hvp`, never an unrolled
# recursion. ``gradcheck`` compares it with finite differences.

torch.manual_seed(0)
dag = dagdp.compile(linear_chain(T, 2))
theta = {
    "emission": torch.randn(T, 2, dtype=torch.float64, requires_grad=True),
    "transition": torch.randn(2, 2, dtype=torch.float64, requires_grad=True),
    "start": torch.zeros(2, dtype=torch.float64),
    "end": torch.zeros(2, dtype=torch.float64),
}
upstream = {name: torch.randn_like(block) for name, block in theta.items()}
expected = DPGrad(dag)(theta)
sum((expected[name] * upstream[name]).sum() for name in theta).backward()
product = dagdp.dp_hvp(dag, {name: block.detach() for name, block in theta.items()}, upstream)
assert torch.allclose(theta["emission"].grad, product["emission"])
assert torch.allclose(theta["transition"].grad, product["transition"])
assert torch.autograd.gradcheck(
    lambda scores: DPGrad(dag)({**theta, "emission": scores})["emission"], theta["emission"]
)
print("greatest entry of the Hessian product", round(product["emission"].abs().max().item(), 3))

# %%
# In a network of your own
# ------------------------
#
# Give the layer the scores that your softmax has now, such as query times key: any batch dimensions may stand in front,
# so all queries are one call. For ragged batches :class:`dagdp.nn.LinearChainCRF` has ``marginals(emission, lengths)``.
# Where another structure fits, replace ``linear_chain`` by a recurrence, and read the block that you need.
#
# If sparse attention does not learn: an item with a single possible path has no gradient. It may attend to nothing, or
# to everything. Here ``SegmentAttention(SquaredL2(1.0))`` ended with equal weights at all positions, and gamma = 2 did
# not. Raise gamma, which spreads the distribution, or lower the rate. :doc:`/pytorch` has a learnt gamma.
