"""The multinomial classifier of keys, and what is minimised to learn it: directly, or through DTW."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from scipy.optimize import minimize
from torch import Tensor

import dagdp
from dagdp import HardMax, Negentropy, Omega
from dagdp.graphs import dtw_grad, dtw_grid, onsets_from_alignment
from dagdp.nn import alignment_area
from examples.audio_to_score.data import FRAME, Array, Integers, Piece


@dataclass(frozen=True, eq=False)
class Classifier:
    """W [8, keys] and c [keys] as one vector: the log-probability of a key is log_softmax(Wᵀ a + c)."""

    keys: Integers  # [keys] MIDI pitches
    flat: Array  # [9 * keys] rows of W, then c

    @classmethod
    def zero(cls, keys: Integers, features: int) -> Classifier:
        """The classifier that finds all keys alike."""
        return cls(keys, np.zeros((features + 1) * len(keys)))

    @classmethod
    def random(cls, keys: Integers, features: int, rng: np.random.Generator) -> Classifier:
        """W drawn from the standard normal distribution, c = 0."""
        weights = rng.normal(size=(features, len(keys)))
        return cls(keys, np.append(weights.ravel(), np.zeros(len(keys))))

    def costs(self, piece: Piece) -> Array:
        """θ [N_A, N_B] of a piece: θ_ij = -log p(key of note j | frame i)."""
        found: Array = log_probabilities(torch.from_numpy(self.flat), torch.from_numpy(piece.features)).numpy()
        return -found[:, np.searchsorted(self.keys, piece.pitches)]

    def alignment(self, piece: Piece, omega: Omega) -> Array:
        """∇DTW_Ω(θ) [N_A, N_B] of a piece."""
        return dtw_grad(self.costs(piece), omega, threads=1)

    def onset_frames(self, piece: Piece) -> Integers:
        """[n] the first frame in which the hard DTW path visits each note."""
        return hard_onset_frames(self.costs(piece))

    def onsets(self, piece: Piece) -> Array:
        """[n] the beginnings of these frames in seconds."""
        return self.onset_frames(piece) * FRAME


def hard_onset_frames(theta: Array) -> Integers:
    """[n] the first frame in which the path of least cost visits each note."""
    return onsets_from_alignment(dtw_grad(theta, HardMax(), threads=1))


class Lesson:
    """The training pieces as tensors, their frames in one table, and their DTW grids compiled as one batch."""

    def __init__(self, pieces: Sequence[Piece], keys: Integers, threads: int = 1) -> None:
        self.sizes = [len(piece.features) for piece in pieces]
        self.features = torch.from_numpy(np.concatenate([piece.features for piece in pieces]))
        notes = [np.searchsorted(keys, piece.pitches) for piece in pieces]
        self.selections = [torch.from_numpy((keys[:, None] == piece.pitches).astype(float)) for piece in pieces]
        self.truths = [torch.from_numpy(piece.alignment) for piece in pieces]
        classes = [own[truth.argmax(1).numpy()] for own, truth in zip(notes, self.truths, strict=True)]
        self.classes = torch.from_numpy(np.concatenate(classes))
        shares = [np.full(size, 1.0 / size / len(pieces)) for size in self.sizes]
        self.shares = torch.from_numpy(np.concatenate(shares))
        self.grids = dagdp.compile_batch([dtw_grid(*truth.shape) for truth in self.truths])
        self.threads = threads

    def classification_loss(self, found: Tensor) -> Tensor:
        """Mean over pieces of the mean over frames of -log p(true key); found [all frames, keys] log-probabilities."""
        return -(found.gather(1, self.classes[:, None])[:, 0] * self.shares).sum()

    def alignment_loss(self, found: Tensor, gamma: float) -> Tensor:
        """Mean over pieces of ||L (∇DTW_Ω(θ) - Y_true)ᵀ||² / N_A with Ω = γ (-H)."""
        parts = zip(found.split(self.sizes), self.selections, strict=True)
        theta = [-(part @ selection) for part, selection in parts]  # -log p(key of note j | frame i)
        expected = dagdp.dp_grad(self.grids, theta, Negentropy(gamma), minimize=True, threads=self.threads)
        areas = [alignment_area(E, Y) / size for E, Y, size in zip(expected, self.truths, self.sizes, strict=True)]
        return torch.stack(areas).mean()


def log_probabilities(flat: Tensor, features: Tensor) -> Tensor:
    """[frames, keys] log_softmax(Wᵀ a + c)."""
    matrix = flat.view(features.shape[1] + 1, -1)
    return torch.log_softmax(features @ matrix[:-1] + matrix[-1], 1)


def pretrained(lesson: Lesson, start: Classifier, penalty: float, iterations: int) -> tuple[Classifier, list[float]]:
    """The classifier of frames by multinomial regression, and its losses."""
    return fit(start, lesson, lesson.classification_loss, penalty, iterations)


def end_to_end(
    lesson: Lesson, start: Classifier, penalty: float, gamma: float, iterations: int
) -> tuple[Classifier, list[float]]:
    """The classifier learnt through DTW, and its losses."""
    return fit(start, lesson, partial(lesson.alignment_loss, gamma=gamma), penalty, iterations)


def fit(
    start: Classifier, lesson: Lesson, loss: Callable[[Tensor], Tensor], penalty: float, iterations: int
) -> tuple[Classifier, list[float]]:
    """L-BFGS on loss + penalty ‖W‖², the intercept c unpenalised; the losses by iteration, the start's first.

    The gradient goes back through DTW by a Hessian product, which torch asks of dagdp in the backward pass.
    """
    count = len(start.flat) - len(start.keys)

    def objective(values: Array) -> tuple[float, Array]:
        flat = torch.tensor(values, requires_grad=True)
        total = loss(log_probabilities(flat, lesson.features)) + penalty * flat[:count].square().sum()
        (gradient,) = torch.autograd.grad(total, flat)
        return total.item(), gradient.numpy()

    losses = [objective(start.flat)[0]]

    def note(intermediate_result: Any) -> None:
        losses.append(float(intermediate_result.fun))

    found = minimize(objective, start.flat, jac=True, method="L-BFGS-B", callback=note, options={"maxiter": iterations})
    return Classifier(start.keys, found.x), losses
