"""The pictures of the quickstart, written to examples/out/. Matplotlib is imported inside; no display is needed."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import bach
import numpy as np
from bach import Array, Chorale, Integers

from dagdp import Omega

OUT = Path(__file__).parent / "out"


def _pyplot() -> Any:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    return plt


def _save(figure: Any, name: str) -> str:
    """The path of the picture, relative to where the user stands."""
    OUT.mkdir(exist_ok=True)
    figure.savefig(OUT / name, dpi=110)
    return os.path.relpath(OUT / name)


def phrases(chorales: list[Chorale], best: list[Array], soft: list[Array]) -> str:
    """Draw the probability that a phrase ends at each note, with fermatas and best paths; the file's path."""
    plt = _pyplot()
    figure, axes = plt.subplots(5, 2, figsize=(13, 11), layout="constrained", sharey=True)
    for chorale, hard, probability, ax in zip(chorales, best, soft, axes.flat, strict=True):
        notes, at = np.arange(1, len(hard) + 1), np.flatnonzero
        ax.bar(notes, probability, color="C0", width=0.8, label="probability (Negentropy)")
        ax.plot(notes[at(hard)], np.full(int(hard.sum()), 1.08), "v", color="C1", label="best path (HardMax)")
        ax.plot(notes[at(chorale.fermata)], np.full(chorale.fermata.sum(), 1.22), "*", color="k", label="fermata")
        ax.set(title=chorale.name, ylim=(0, 1.35), yticks=(0, 0.5, 1), xlim=(0, len(hard) + 1))
        ax.title.set_fontsize(10)
    for ax in axes[-1]:
        ax.set_xlabel("soprano note")
    figure.supylabel("probability that a phrase ends here", fontsize=10)
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper right", ncols=3, frameon=False)
    figure.suptitle("Where a phrase ends", x=0.03, ha="left")
    return _save(figure, "phrases.png")


def chords(chorale: Chorale, decoded: Integers, marginals: Array) -> str:
    """Draw the probability of each chord under each soprano note, with the truth and the best path; the file's path."""
    plt = _pyplot()
    n = len(chorale.soprano)
    truth, decoded, marginals = bach.chord_classes(chorale), decoded[:n], marginals[:n]
    shown = np.union1d(np.union1d(truth, decoded), np.flatnonzero(marginals.max(0) > 0.1))
    figure, ax = plt.subplots(figsize=(12, 0.38 * len(shown) + 2), layout="constrained")
    image = ax.imshow(marginals.T[shown], aspect="auto", cmap="Blues", vmin=0, vmax=1)
    ax.plot(np.searchsorted(shown, decoded), "x", color="C1", ms=7, mew=2, label="best path (HardMax)")
    ax.plot(np.searchsorted(shown, truth), "o", color="k", mfc="none", ms=11, label="Bach")
    ax.set_yticks(range(len(shown)), [bach.chord_name(label, chorale.tonic) for label in shown])
    pitches = [bach.NAMES[int(p) % 12] for p in chorale.soprano[:, 2]]
    ax.set_xticks(range(n), pitches, fontsize=8)
    ax.set(xlabel="soprano note", ylabel="chord")
    ax.set_title(f"Chords under the melody of {chorale.name}: marginals, Negentropy(gamma=1)", loc="left")
    figure.legend(loc="outside lower right", ncols=2, frameon=False)
    figure.colorbar(image, ax=ax, label="probability", pad=0.01)
    return _save(figure, "chords.png")


def alignments(chorale: Chorale, path: Integers, maps: dict[Omega, Array]) -> str:
    """Draw the expected alignments side by side on one colour scale, the hard path on top; the file's path."""
    plt = _pyplot()
    figure, axes = plt.subplots(1, len(maps), figsize=(13, 5.2), layout="constrained", sharey=True)
    n, frames = next(iter(maps.values())).shape
    box = (0, frames * bach.FRAME, n + 0.5, 0.5)
    for ax, (omega, expected) in zip(axes, maps.items(), strict=True):
        image = ax.imshow(
            np.sqrt(expected), aspect="auto", cmap="Greys", vmin=0, vmax=1, extent=box, interpolation="nearest"
        )
        ax.plot((path[:, 1] + 0.5) * bach.FRAME, path[:, 0] + 1, color="C3", lw=0.9, label="best path (HardMax)")
        ax.plot(chorale.seconds, np.arange(1, n + 1), ".", color="C0", ms=5, label="true onset")
        share = 100 * (expected > 0).mean()
        name = f"{type(omega).__name__}(gamma={omega.gamma:g})"
        ax.set_title(f"{name}: {share:.1f} % of cells above 0", fontsize=11)
        ax.set_xlabel("seconds of audio")
    axes[0].set_ylabel("soprano note of the score")
    axes[0].legend(loc="upper right", frameon=False)
    figure.colorbar(image, ax=axes, label="square root of the expected alignment E", pad=0.01)
    figure.suptitle(f"{chorale.name}: synthetic rendering, not the Bach10 recordings", fontsize=12)
    return _save(figure, "alignments.png")
