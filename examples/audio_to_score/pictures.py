"""The pictures of the README: alignments of a test piece (figure 7), and two operators on one DTW (figure 1)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

from dagdp import Negentropy, SquaredL2
from dagdp.graphs import dtw_grad
from examples.audio_to_score.data import FRAME, Array, Piece, mean_deviation
from examples.audio_to_score.model import Classifier

Record = dict[str, Any]
CENTROID = 1  # column of the features
REPEATED = "02-AchLiebenChristen"  # its first section is played twice
PHRASE, REPEAT = (0, 12), (21, 33)  # soprano notes of its first phrase, and of the repeat


def draw(pieces: Sequence[Piece], folds: Sequence[Record], folder: Path, audio: str) -> list[Path]:
    """Draw all pictures; their paths. A piece without a fold is left out of those that show results."""
    by_name = {piece.name: piece for piece in pieces}
    folder.mkdir(parents=True, exist_ok=True)
    fold = middle_fold(folds)
    made = [
        (alignment_maps(by_name[fold["piece"]], fold, audio), f"{audio}_alignment_maps.png"),
        (errors_by_piece(folds, audio), f"{audio}_errors.png"),
    ]
    if REPEATED in by_name:
        made.append((two_operators(by_name[REPEATED], audio), f"{audio}_two_operators.png"))
    for figure, name in made:
        figure.savefig(folder / name, dpi=110)
        plt.close(figure)
    return [folder / name for _, name in made]


def middle_fold(folds: Sequence[Record]) -> Record:
    """The fold whose end-to-end test error is the median, the lower of two."""
    return sorted(folds, key=lambda fold: fold["errors"]["end_to_end"]["test"])[(len(folds) - 1) // 2]


def alignment_maps(piece: Piece, fold: Record, audio: str) -> Any:
    """Figure 7: expected alignments and onsets of a test piece, end-to-end against pretrained."""
    gamma = fold["chosen"]["end_to_end"]["gamma"]
    figure, axes = plt.subplots(1, 2, figsize=(13, 5.8), layout="constrained", sharey=True)
    notes = np.arange(1, len(piece.pitches) + 1)
    for ax, (kind, label) in zip(
        axes, {"end_to_end": "end-to-end", "pretrained": "pretrained classifier"}.items(), strict=True
    ):
        model = Classifier(np.array(fold["keys"]), np.array(fold["parameters"][kind]))
        box = (0, piece.duration, notes[-1] + 0.5, 0.5)
        image = ax.imshow(
            model.alignment(piece, Negentropy(gamma)).T, aspect="auto", cmap="Blues", vmin=0, vmax=1, extent=box,
            interpolation="nearest",
        )  # fmt: skip
        found = model.onsets(piece)
        ax.plot(piece.onsets, notes, "o", color="k", mfc="none", ms=6, label="true onset")
        ax.plot(found, notes, ".", color="C1", ms=7, label="predicted onset (hard DTW)")
        ax.set(
            xlabel="time in the recording, s", title=f"{label}: off by {mean_deviation(piece, found):.2f} s on average"
        )
    axes[0].set_ylabel("soprano note")
    axes[0].legend(loc="lower left", framealpha=0.9)
    figure.colorbar(image, ax=axes, label=f"probability that frame and note match, γ = {gamma:g}", pad=0.01)
    figure.suptitle(f"Test piece {piece.name} ({audio} audio), the median by end-to-end test error")
    return figure


def errors_by_piece(folds: Sequence[Record], audio: str) -> Any:
    """Test error of each piece by four methods, on a logarithmic scale."""
    shown = {
        "end_to_end": ("end-to-end", "o", "C1"),
        "pretrained": ("pretrained classifier", "s", "C0"),
        "uniform": ("uniform diagonal (no audio)", "|", "0.35"),
        "rhythm": ("the score's rhythm (no audio)", "x", "k"),
    }
    figure, ax = plt.subplots(figsize=(9, 4.6), layout="constrained")
    rows = np.arange(len(folds))
    for method, (label, marker, colour) in shown.items():
        values = [fold["errors"][method]["test"] for fold in folds]
        ax.plot(values, rows, marker, color=colour, mfc="none" if marker == "s" else colour, ms=8, mew=2, label=label)
    ax.set_yticks(rows, [fold["piece"] for fold in folds])
    ax.set_ylim(len(folds) - 0.5, -0.5)
    ax.set_xscale("log")
    ticks = [0.2, 0.5, 1, 2, 5, 10]
    ax.set_xticks(ticks, map(str, ticks))
    ax.minorticks_off()
    ax.grid(axis="both", color="0.9")
    ax.set(
        xlabel="mean deviation of onsets on the piece left out, s (logarithmic)", title=f"Test errors, {audio} audio"
    )
    figure.legend(loc="outside lower center", ncols=4, frameon=False)
    return figure


def two_operators(piece: Piece, audio: str) -> Any:
    """Figure 1: the expected alignment of a phrase with its repeat, dense under Negentropy, sparse under SquaredL2."""
    first, second = (_phrase(piece, *notes) for notes in (PHRASE, REPEAT))
    theta = np.square(first[:, None] - second)
    omegas = {"Negentropy(1.0)": Negentropy(1.0), "SquaredL2(1.0)": SquaredL2(1.0)}
    figure, axes = plt.subplots(
        2, 4, figsize=(13, 6.2), layout="constrained", width_ratios=[1, 4, 1, 4], height_ratios=[1, 4]
    )
    for k, (label, omega) in enumerate(omegas.items()):
        expected = dtw_grad(theta, omega)
        (blank, top), (side, ax) = axes[:, 2 * k : 2 * k + 2]
        blank.axis("off")
        size_a, size_b = len(first) * FRAME, len(second) * FRAME
        top.plot((np.arange(len(second)) + 0.5) * FRAME, second, color="C0")
        top.set(xlim=(0, size_b), xticks=[], yticks=[], title=f"{label}: {np.mean(expected > 0):.0%} of cells above 0")
        side.plot(first, (np.arange(len(first)) + 0.5) * FRAME, color="C0")
        side.set(ylim=(size_a, 0), xticks=[], ylabel="time in the phrase, s")
        side.invert_xaxis()
        colours = plt.get_cmap("viridis").with_extremes(bad="white")
        shown = np.ma.masked_where(expected <= 0, expected)
        image = ax.imshow(
            shown, aspect="auto", cmap=colours, extent=(0, size_b, size_a, 0), vmin=0, vmax=1, interpolation="nearest"
        )
        ax.set(xlabel="time in its repeat, s", yticks=[])
    figure.colorbar(image, ax=axes, label="probability of a cell; white: exactly 0", pad=0.01)
    figure.suptitle(f"A phrase of {piece.name} and its repeat ({audio} audio): spectral centroid, standardised")
    return figure


def _phrase(piece: Piece, first: int, last: int) -> Array:
    """[frames] the spectral centroid from one note to another."""
    frames = piece.onset_frames
    return piece.features[frames[first] : frames[last], CENTROID]
