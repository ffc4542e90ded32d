"""
Soft-DTW barycentres and k-means
================================

The mean of time series is often useless: where events come earlier in one series and later in another, the mean shows
them smeared or not at all. Dynamic time warping (DTW) aligns the series first. With a smoothed minimum in place of the
minimum, *soft-DTW* has a gradient in the series, so a mean under warping, the *barycentre*, is found by gradient
descent (Cuturi and Blondel 2017).

You will compute barycentres of series of different length, see what gamma and a sparse operator change, find out why
the plain value is biased and what the divergence does about it, and write k-means on top in some twenty lines.
"""

import matplotlib.pyplot as plt
import numpy as np
import torch

from dagdp import HardMax, Negentropy, SquaredL2, plot
from dagdp.graphs import dtw_grad, dtw_value
from dagdp.nn import dtw_divergence, pad_ragged

# %%
# Series of different length
# --------------------------
#
# Cylinder, bell and funnel (Saito 1994) are three classes of noisy series: a plateau, a ramp up, a ramp down. The event
# begins and ends at random places, and here the lengths differ, too. ``pad_ragged`` puts them into one array with a
# last axis for features, here one. Every function takes the true lengths, and never reads the padding: we set it to
# NaN.

rng = np.random.default_rng(0)
CLASSES = ["cylinder", "bell", "funnel"]


def draw(kind, length):
    """One series [length] of a class."""
    first, last = rng.integers(3, 15), length - rng.integers(3, 15)
    time = np.arange(length)
    form = [np.ones(length), (time - first) / (last - first), (last - time) / (last - first)][kind]
    inside = (time >= first) & (time <= last)
    return (3 + 0.5 * rng.normal()) * form * inside + 0.3 * rng.normal(size=length)


classes = np.repeat(range(3), 10)
series = [draw(kind, length) for kind, length in zip(classes, rng.integers(30, 50, size=len(classes)), strict=True)]
padded, lengths = pad_ragged([values[:, None] for values in series], value=torch.nan)
print("padded", tuple(padded.shape), "lengths", lengths.tolist()[:6], "...")

# %%
# A barycentre
# ------------
#
# The barycentre of given series is the series z that minimises the mean of DTW(z, x) over the given x.
# ``dtw_value(x=, y=)`` takes two series, or batches of them, and uses the squared distances of frames as costs, which
# DTW minimises. One call has all pairs: z [40, 1] is compared with ``padded`` [batch, time, 1]. The value is
# differentiable in z, and L-BFGS finds the minimum. We write the loss for several barycentres at once, z [k, 40, 1],
# each with the series of its own label: k-means will need that.


def soft_dtw(omega):
    """A function (z, x, lengths of x) -> soft-DTW."""
    return lambda z, x, n: dtw_value(x=z, y=x, lengths=(z.shape[-2], n), omega=omega)


def barycentres(distance, x, n, labels, start, steps=25):
    """The series [k, 40, 1] that minimise the distance to the series x of each label."""
    z = start.clone().requires_grad_()
    optimizer = torch.optim.LBFGS([z], max_iter=steps, line_search_fn="strong_wolfe")

    def closure():
        optimizer.zero_grad()
        loss = distance(z[labels], x, n).mean()
        loss.backward()
        return loss

    optimizer.step(closure)
    return z.detach()


# %%
# The descent begins with the Euclidean mean. It needs series of one length: each series is stretched to 40 points.


def stretched(values, length=40):
    grid = np.linspace(0, 1, length)
    return torch.tensor(np.interp(grid, np.linspace(0, 1, len(values)), values))[:, None]


everything = torch.stack([stretched(values) for values in series])
bells, one_label = torch.tensor(classes == 1), torch.zeros(10, dtype=torch.long)
start = everything[bells].mean(0, keepdim=True)
centres = {"Euclidean mean": start}
operators = {f"Negentropy({gamma})": Negentropy(gamma) for gamma in (0.01, 1.0, 30.0)}
for name, omega in {**operators, "SquaredL2(1.0)": SquaredL2(1.0)}.items():
    centres[name] = barycentres(soft_dtw(omega), padded[bells], lengths[bells], one_label, start)

for name, z in centres.items():
    print(f"{name:17} mean DTW to the bells {soft_dtw(HardMax())(z, padded[bells], lengths[bells]).mean().item():6.2f}")

figure, axes = plt.subplots(2, 2, figsize=(7, 5), sharex=True, sharey=True, layout="constrained")
for ax, name in zip(axes.flat, [name for name in centres if name != "SquaredL2(1.0)"], strict=True):
    ax.plot(everything[bells, :, 0].T, color="0.85", lw=0.8)
    ax.plot(centres[name][0, :, 0], color="tab:red", lw=2)
    ax.set(title=name)
plt.show()

# %%
# gamma has the unit of the costs, squared differences. Two frames of noise differ by 0.18 on average. With a tiny gamma
# the value is nearly that of plain DTW, and the barycentre fits the noise of single series. With a large gamma very
# many alignments count, and the barycentre is as smeared as the Euclidean mean. gamma = 1 is between the two.
#
# A sparse operator
# -----------------
#
# The gradient by the costs, ``dtw_grad``, is the *expected alignment*: the probability that frame i is matched with
# frame j. Under Negentropy every cell has a probability above 0. Under ``SquaredL2`` most are exactly 0: a line
# surrounds the others.

z, x = centres["SquaredL2(1.0)"][0], padded[15, : lengths[15]]
figure, axes = plt.subplots(1, 2, figsize=(7, 3.6), layout="constrained")
for ax, omega in zip(axes, (Negentropy(1.0), SquaredL2(1.0)), strict=True):
    expected = dtw_grad(x=z, y=x, omega=omega)
    plot.alignment_map(expected, z[:, 0], x[:, 0], ax=ax)
    share = (expected > 0).double().mean().item()
    ax.set_xlabel(f"{type(omega).__name__}: {100 * share:.0f} % of cells above 0")
plt.show()

# %%
# Why the plain value is biased
# -----------------------------
#
# A smoothed minimum lies below the minimum, so the soft-DTW of a series with itself is negative. And it is not least
# there: a flatter series has more alignments of low cost. The *divergence* D(x, y) - D(x, x) / 2 - D(y, y) / 2 corrects
# both. We take a bell as barycentre of itself, and descend.


def divergence(z, x, n):
    return dtw_divergence(z, x, Negentropy(1.0), lengths=(z.shape[-2], n), reduction="none")


alone = everything[15:16]
for name, distance in {"soft-DTW": soft_dtw(Negentropy(1.0)), "divergence": divergence}.items():
    found = barycentres(distance, alone, [40], [0], alone)
    before, after = (distance(z, alone, [40]).item() for z in (alone, found))
    moved = (found - alone).abs().max().item()
    print(f"{name}: {before:.3f} at the series, {after:.3f} at the minimum, which is {moved:.3f} away")
    assert (moved < 1e-6) == (name == "divergence")

# %%
# Take the divergence to compare series. For a barycentre of noisy series the bias is welcome: it is what makes the
# barycentre smooth, while a minimiser of the divergence keeps the noise.
#
# k-means
# -------
#
# k-means alternates two steps: each series gets the label of its nearest centre, and each centre becomes the barycentre
# of its series. We label by one distance and fit by another, the divergence and soft-DTW. The table of all distances is
# one call: centres [k, 1, 40, 1] against series [items, time, 1] broadcast to [k, items]. The first centres are series
# far from each other.


def farthest_first(distance, x, n, candidates, k):
    """k of the candidates [items, 40, 1]: the first one, then always the one farthest from those chosen."""
    chosen = [0]
    while len(chosen) < k:
        chosen.append(int(distance(candidates[chosen][:, None], x, n).amin(0).argmax()))
    return candidates[chosen]


def k_means(distance, fit, x, n, candidates, k=3, rounds=10):
    """(labels [items], centres [k, 40, 1])."""
    centres, labels = farthest_first(distance, x, n, candidates, k), None
    for _ in range(rounds):
        nearest = distance(centres[:, None], x, n).argmin(0)
        if labels is not None and torch.equal(nearest, labels):
            break
        labels = nearest
        centres = barycentres(fit, x, n, labels, centres, steps=10)
    return labels, centres


def euclidean(z, x, n):
    return (z - x).square().sum((-2, -1))


results = {
    "Euclidean": k_means(euclidean, euclidean, everything, lengths, everything),
    "soft-DTW": k_means(divergence, soft_dtw(Negentropy(1.0)), padded, lengths, everything),
}
for name, (labels, _) in results.items():
    counts = [np.bincount(labels[classes == kind], minlength=3).tolist() for kind in range(3)]
    print(f"{name:9}", ", ".join(f"{CLASSES[kind]} {row}" for kind, row in enumerate(counts)))

# %%
# A list counts the series of a class in the three clusters. Under warping the classes are found, but for two cylinders
# whose plateau is short; the Euclidean clusters follow the places of the events. The centres show the three forms.

labels, centres = results["soft-DTW"]
figure, axes = plt.subplots(1, 3, figsize=(7, 2.6), sharey=True, layout="constrained")
for c, ax in enumerate(axes):
    for k in np.flatnonzero(labels == c):
        ax.plot(series[k], color=f"C{classes[k]}", lw=0.6, alpha=0.6)
    ax.plot(np.linspace(0, int(lengths.max()), 40), centres[c, :, 0], color="black", lw=2)
    ax.set(title=f"cluster {c}", xlabel="time")
plt.show()

# %%
# With your own series: give them as ``[time, features]`` to ``pad_ragged``, scale each feature, and choose gamma near
# the cost of a few frames of noise. ``band=`` or ``window=`` of ``dtw_value`` restrict the warping, and save time for
# long series. Start k-means from several first series, and keep the labels whose sum of distances is least.

total = divergence(centres[labels], padded, lengths).sum().item()
print(f"sum of distances {total:.1f}")
