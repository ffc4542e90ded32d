"""Pieces to align: the rendered Bach chorales of this repository, or the recordings of Bach10 from a folder.

The audio of the default data is a synthetic rendering (`examples/data/bach_chorales/SOURCE.md`), NOT the Bach10
recordings. The score line is the soprano: one note at a time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.fft import dct
from scipy.io import wavfile

from dagdp.graphs import alignment_from_onsets
from examples import bach

Array = NDArray[np.float64]
Integers = NDArray[np.int64]

RATE = 22050  # samples a second
WINDOW = 512  # samples of a feature frame, and from one to the next
POOLED = 4  # feature frames averaged into one frame of an alignment
FRAME = POOLED * WINDOW / RATE  # seconds of a frame of an alignment: 93 ms
MEL_BANDS = 40
MFCCS = 5
SOPRANO = 1  # channel of the first voice in Bach10's annotation


@dataclass(frozen=True, eq=False)
class Piece:
    """A recording of f frames and a line of n notes."""

    name: str
    features: Array  # [f, 8] each centred around its median over the piece, with deviation 1
    pitches: Integers  # [n] MIDI pitch of each note
    onsets: Array  # [n] seconds when the notes truly begin in the recording; the first is put at 0
    score: Array  # [n + 1] onset of each note in the score, and the end of the last, in any unit of score time

    @property
    def duration(self) -> float:
        """Seconds of the recording."""
        return len(self.features) * FRAME

    @property
    def onset_frames(self) -> Integers:
        """[n] the first frame whose middle each note has reached."""
        return np.minimum(np.rint(self.onsets / FRAME).astype(int), len(self.features) - 1)

    @property
    def alignment(self) -> Array:
        """[f, n] Y_true: 1 for the note that sounds in the middle of a frame."""
        return alignment_from_onsets(self.onset_frames, len(self.features))


def rendered() -> list[Piece]:
    """The ten chorales, with the features of the rendered mix of four voices."""
    with np.load(bach.DATA / "render_mix_features.npz") as renders:
        return [
            Piece(
                chorale.name,
                standardised(pooled(renders[f"{chorale.name}__features"].astype(float))),
                chorale.soprano[:, 2].astype(int),
                chorale.seconds,
                chorale.boundaries,
            )
            for chorale in bach.load()
        ]


def recorded(folder: Path) -> list[Piece]:
    """The recordings of Bach10 v1.1: `NN-Name/NN-Name.wav` (the mix) and `NN-Name/NN-Name.txt` in a folder.

    A line of the text file is a note: onset in the audio in ms, onset in the score in ms, MIDI pitch, channel. It has
    no ends of notes: the last note is taken to be as long, in the score, as the longest of the others.
    """
    found = sorted(path for path in folder.glob("*/*.wav") if path.stem == path.parent.name)
    if len(found) < 3:
        raise SystemExit(
            f"{folder} has {len(found)} pieces; expected at least 3 folders as 01-AchGottundHerr, each with "
            "01-AchGottundHerr.wav and 01-AchGottundHerr.txt: unpack Bach10 v1.1 there"
        )
    return [_recorded(path) for path in found]


def _recorded(path: Path) -> Piece:
    from scipy.signal import resample_poly  # its import takes seconds, and the rendered pieces do without

    rate, samples = wavfile.read(path)
    scale = 1.0 if samples.dtype.kind == "f" else float(np.iinfo(samples.dtype).max)
    mono = samples.reshape(len(samples), -1).mean(1) / scale
    common = np.gcd(rate, RATE)
    resampled = mono if rate == RATE else resample_poly(mono, RATE // common, rate // common)
    notes = np.loadtxt(path.with_suffix(".txt"), ndmin=2)
    line = notes[notes[:, 3] == SOPRANO]
    line = line[np.argsort(line[:, 1], kind="stable")]
    onsets = np.maximum.accumulate(line[:, 0] / 1000.0)
    onsets[0] = 0.0  # an alignment pins the first frame to the first note
    score = np.append(line[:, 1], line[-1, 1] + np.diff(line[:, 1]).max())
    return Piece(path.stem, standardised(pooled(audio_features(resampled))), line[:, 2].astype(int), onsets, score)


def audio_features(samples: Array) -> Array:
    """[frames, 8] energy, spectral centroid and bandwidth in Hz, and 5 MFCC, of sound of 22050 Hz.

    Frames are 512 samples under a Hann window, without overlap and without padding at the ends. The definitions are
    librosa's: energy is the sum of squares, bandwidth the deviation of frequency weighted by magnitude, MFCC the cosine
    transform of 40 mel bands in decibels, cut 80 dB below the loudest.
    """
    frames = np.lib.stride_tricks.sliding_window_view(samples, WINDOW)[::WINDOW]
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(WINDOW) / WINDOW)
    magnitude = np.abs(np.fft.rfft(frames * hann, axis=1))
    frequency = np.fft.rfftfreq(WINDOW, 1 / RATE)
    weight = magnitude / np.maximum(magnitude.sum(1, keepdims=True), 1e-10)
    centroid = weight @ frequency
    bandwidth = np.sqrt((weight * np.square(frequency - centroid[:, None])).sum(1))
    decibels = 10 * np.log10(np.maximum(np.square(magnitude) @ mel_filters(MEL_BANDS).T, 1e-10))
    decibels = np.maximum(decibels, decibels.max() - 80)
    cepstrum = dct(decibels, norm="ortho", axis=1)[:, :MFCCS]
    return np.column_stack([np.square(frames).sum(1), centroid, bandwidth, cepstrum])


def mel_filters(bands: int) -> Array:
    """[bands, WINDOW / 2 + 1] triangles of equal area, spaced by Slaney's mel scale: linear below 1000 Hz, then log."""
    corner, step = 1000 / (200 / 3), np.log(6.4) / 27
    top = corner + np.log(RATE / 2 / 1000) / step
    mels = np.linspace(0, top, bands + 2)
    edges = np.where(mels < corner, mels * 200 / 3, 1000 * np.exp(step * (mels - corner)))
    frequency = np.fft.rfftfreq(WINDOW, 1 / RATE)
    rising = (frequency - edges[:-2, None]) / np.diff(edges)[:-1, None]
    falling = (edges[2:, None] - frequency) / np.diff(edges)[1:, None]
    return np.maximum(0, np.minimum(rising, falling)) * (2 / (edges[2:] - edges[:-2]))[:, None]


def pooled(features: Array) -> Array:
    """[frames / 4, 8] means of 4 frames, after the energy is replaced by its logarithm."""
    features = features.copy()
    features[:, 0] = np.log(features[:, 0] + 1e-8)
    whole = len(features) // POOLED
    return features[: whole * POOLED].reshape(whole, POOLED, -1).mean(1)


def standardised(features: Array) -> Array:
    """Each feature centred around its median and divided by its deviation; a constant feature becomes 0."""
    centred = features - np.median(features, 0)
    deviation = features.std(0)
    return centred / np.where(deviation > 0, deviation, 1.0)


def keys(pieces: Sequence[Piece]) -> Integers:
    """The pitches that occur in the scores, in order: the classes of the classifier."""
    return np.unique(np.concatenate([piece.pitches for piece in pieces]))


def unseen(piece: Piece, training: Sequence[Piece]) -> list[int]:
    """Pitches of a piece that no training piece has."""
    return sorted(set(piece.pitches.tolist()) - set(keys(training).tolist()))


def mean_deviation(piece: Piece, seconds: Any) -> float:
    """Mean over notes of |predicted - true onset|, in seconds."""
    return float(np.abs(np.asarray(seconds) - piece.onsets).mean())


def area(piece: Piece, onset_frames: Integers) -> float:
    """||L (Y - Y_true)^T||^2 / N_A with one note a frame: by how many notes a frame is off, on average."""
    predicted = alignment_from_onsets(onset_frames, len(piece.features))
    return float(np.square((predicted - piece.alignment).cumsum(1)).sum() / len(piece.features))


def uniform_onsets(piece: Piece) -> Array:
    """The uniform diagonal: notes equally spaced over the duration. It reads neither audio nor rhythm."""
    return np.arange(len(piece.pitches)) / len(piece.pitches) * piece.duration


def rhythm_onsets(piece: Piece) -> Array:
    """The score's own rhythm at the one tempo that fills the duration. It does not read the audio."""
    elapsed = piece.score - piece.score[0]
    return elapsed[:-1] / elapsed[-1] * piece.duration
