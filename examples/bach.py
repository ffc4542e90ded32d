"""Ten Bach chorales: scores, a synthetic rendering of them, and the counts that the demonstration needs.

`examples/data/bach_chorales/SOURCE.md` says where everything comes from. The audio features belong to our own
synthetic rendering of the scores, NOT to the Bach10 recordings.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Integers = NDArray[np.int64]

DATA = Path(__file__).parent / "data" / "bach_chorales"
POOLED = 4  # feature frames averaged into one
FRAME = POOLED * 512 / 22050  # seconds of a pooled frame: 93 ms
OTHER = 24  # the chord class of what is neither a major nor a minor triad
CHORDS = 25
PITCHES = range(36, 96)
NAMES = ("C", "C#", "D", "Eb", "E", "F", "F#", "G", "Ab", "A", "Bb", "B")
RIDGES = (1.0, 10.0, 100.0, 1000.0)  # candidates, chosen by prediction error on the training pieces


@dataclass(frozen=True, eq=False)
class Chorale:
    """A chorale with its soprano line (n notes) and its synthetic performance (f frames of 93 ms)."""

    name: str
    notes: Array  # [all notes, 4] onset and duration in quarters, MIDI pitch, part 0 (soprano) to 3 (bass)
    soprano: Array  # [n, 3] onset, duration, MIDI pitch
    fermata: NDArray[np.bool_]  # [n] whether the soprano note bears a fermata: it is the last of its phrase
    seconds: Array  # [n] when the note sounds in the performance; the first is put at 0
    features: Array  # [f, 8] standardised over the piece

    @property
    def boundaries(self) -> Array:
        """[n + 1] quarters: the onsets of the soprano, and the end of its last note."""
        return np.append(self.soprano[:, 0], self.soprano[-1, 0] + self.soprano[-1, 1])

    @property
    def tonic(self) -> int:
        """Pitch class of the final bass note, taken as the key; the mode is not given."""
        bass = self.notes[self.notes[:, 3] == 3]
        return int(bass[bass[:, 0].argmax(), 2]) % 12

    @property
    def degrees(self) -> Integers:
        """[n] semitones of each soprano note above the tonic, 0 to 11."""
        return ((self.soprano[:, 2] - self.tonic) % 12).astype(int)

    def sounding(self, note: int) -> Array:
        """[k, 4] the notes of all parts that sound when the soprano note begins, lowest first."""
        now = self.soprano[note, 0]
        found = self.notes[(self.notes[:, 0] <= now) & (now < self.notes[:, 0] + self.notes[:, 1])]
        return found[found[:, 2].argsort()]


def load() -> list[Chorale]:
    """The ten chorales, in the order of their names."""
    scores = json.loads((DATA / "bach10_scores.json").read_text())["chorales"]
    with np.load(DATA / "render_mix_features.npz") as renders:
        return [
            _chorale(score, renders[f"{score['bach10_name']}__features"], renders[f"{score['bach10_name']}__notes"])
            for score in scores
        ]


def _chorale(score: dict[str, Any], frames: Array, rendered: Array) -> Chorale:
    notes = np.array(score["notes"], float)
    soprano = notes[notes[:, 3] == 0][:, :3]
    played = rendered[rendered[:, 3] == 1]
    seconds = played[played[:, 1].argsort(), 0].astype(float)
    seconds[0] = 0.0  # an alignment pins the first frame to the first note
    return Chorale(
        name=str(score["bach10_name"]),
        notes=notes,
        soprano=soprano,
        fermata=np.isin(soprano[:, 0], score["fermata_onsets"]),
        seconds=seconds,
        features=_standardised(frames.astype(float)),
    )


def _standardised(frames: Array) -> Array:
    """[f, 8] pooled, the energy as a logarithm, each feature with mean 0 and deviation 1."""
    frames[:, 0] = np.log(frames[:, 0] + 1e-8)
    whole = len(frames) // POOLED
    pooled = frames[: whole * POOLED].reshape(whole, POOLED, -1).mean(1)
    return (pooled - pooled.mean(0)) / pooled.std(0)


def log_shares(samples: Integers, classes: int) -> Array:
    """[classes] log-probabilities of the classes, counted with add-one smoothing."""
    counts = 1.0 + np.bincount(samples, minlength=classes)
    return np.log(counts / counts.sum())


def log_table(given: Integers, found: Integers, rows: int, columns: int) -> Array:
    """[rows, columns] log-probability of `found` (column) given `given` (row), add-one smoothing."""
    counts = 1.0 + np.bincount(given * columns + found, minlength=rows * columns).reshape(rows, columns)
    return np.log(counts / counts.sum(1, keepdims=True))


def chord_classes(chorale: Chorale) -> Integers:
    """[n] the chord under each soprano note: 0-11 major and 12-23 minor by root above the tonic, 24 else.

    A triad counts if its root, third and fifth sound with at most one foreign pitch class, or its root and third
    alone. If several do: the one with the fewest foreign tones, then the one that stands on its root.
    """
    found = [(chorale.sounding(k)[:, 2].astype(int) - chorale.tonic) % 12 for k in range(len(chorale.soprano))]
    return np.array([_chord(set(classes.tolist()), classes[0]) for classes in found])


def _chord(classes: set[int], bass: int) -> int:
    fits = []
    for label in range(OTHER):
        root = label % 12
        third, fifth = (root + (4 if label < 12 else 3)) % 12, (root + 7) % 12
        foreign = len(classes - {root, third, fifth})
        if {root, third} <= classes and foreign <= (fifth in classes):
            fits.append((foreign, root != bass, label))
    return min(fits)[2] if fits else OTHER


def chord_name(label: int, tonic: int) -> str:
    """What musicians write for a chord class in this key: C, Am, other."""
    if label == OTHER:
        return "other"
    root = NAMES[(label + tonic) % 12]
    return root if label < 12 else root + "m"


def predicted_features(training: Sequence[Chorale], chorale: Chorale) -> Array:
    """[n, 8] what the audio should look like under each soprano note: ridge regression on the training pieces.

    The regressors say which part sounds which pitch; the ridge is chosen by leaving one training piece out.
    """
    frames = [_frames(piece) for piece in training]
    grams = [rows.T @ rows for rows in frames]
    moments = [rows.T @ piece.features for rows, piece in zip(frames, training, strict=True)]
    errors = np.zeros(len(RIDGES))
    for r, ridge in enumerate(RIDGES):
        for k, piece in enumerate(training):
            errors[r] += np.square(frames[k] @ _solve(grams, moments, ridge, k) - piece.features).mean()
    return _regressors(chorale) @ _solve(grams, moments, RIDGES[errors.argmin()])


def _regressors(chorale: Chorale) -> Array:
    rows = np.zeros((len(chorale.soprano), 4 * len(PITCHES) + 1))
    rows[:, -1] = 1.0
    for k in range(len(rows)):
        for pitch, part in chorale.sounding(k)[:, 2:].astype(int):
            rows[k, part * len(PITCHES) + pitch - PITCHES.start] = 1.0
    return rows


def _frames(chorale: Chorale) -> Array:
    """[f, regressors] those of the soprano note that is sounding in the middle of each frame."""
    middles = (np.arange(len(chorale.features)) + 0.5) * FRAME
    return _regressors(chorale)[np.searchsorted(chorale.seconds, middles, side="right") - 1]


def _solve(grams: Sequence[Array], moments: Sequence[Array], ridge: float, without: int = -1) -> Array:
    kept = [k for k in range(len(grams)) if k != without]
    penalty = np.full(len(grams[0]), ridge)
    penalty[-1] = 1e-9  # the intercept goes free
    total = np.sum([grams[k] for k in kept], axis=0)
    return np.linalg.solve(total + np.diag(penalty), np.sum([moments[k] for k in kept], axis=0))
