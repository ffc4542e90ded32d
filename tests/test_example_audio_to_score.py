"""The experiment of Table 2: its data, its objective, a quick run with its report, and the tables of its README."""

from __future__ import annotations

import json
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("scipy")
pytest.importorskip("tqdm")
pytest.importorskip("matplotlib")

import torch
from scipy.io import wavfile

from examples.audio_to_score import data, report
from examples.audio_to_score.__main__ import main
from examples.audio_to_score.model import (
    Classifier,
    Lesson,
    end_to_end,
    hard_onset_frames,
    log_probabilities,
    pretrained,
)
from examples.audio_to_score.train import Settings, inner_means, prepare

ROOT = Path(__file__).resolve().parents[1]
HOME = ROOT / "examples" / "audio_to_score"


def piece(seed: int = 0, frames: int = 24) -> data.Piece:
    """Features that tell the key with some noise; notes of 4 frames."""
    rng = np.random.default_rng(seed)
    pitches = 60 + rng.integers(1, 3, frames // 4).cumsum() % 3  # no note is repeated
    sounding = np.repeat(pitches, 4) - 61.0
    features = np.column_stack([sounding, -sounding]) + 0.5 * rng.normal(size=(frames, 2))
    onsets = np.arange(0, frames, 4) * data.FRAME
    return data.Piece(f"piece {seed}", features, pitches, onsets, np.arange(len(pitches) + 1.0))


def test_features_of_a_sine():
    samples = 0.5 * np.sin(2 * np.pi * 3000 * np.arange(data.RATE) / data.RATE)
    features = data.audio_features(samples)
    assert features.shape == (data.RATE // data.WINDOW, 8)
    assert features[:, 0] == pytest.approx(512 * 0.5**2 / 2, rel=0.02)
    assert features[:, 1] == pytest.approx(3000, abs=10)
    assert (features[:, 2] < 150).all()
    higher = data.audio_features(0.5 * np.sin(2 * np.pi * 6000 * np.arange(data.RATE) / data.RATE))
    assert (higher[:, 4] < features[:, 4]).all()  # the second MFCC falls where the sound is brighter


def test_noise_is_broad_and_silence_is_finite():
    noise = np.random.default_rng(0).normal(size=data.RATE)
    features = data.audio_features(noise)
    assert features[:, 1].mean() == pytest.approx(data.RATE / 4, rel=0.05)
    assert features[:, 2].mean() == pytest.approx(data.RATE / 2 / 12**0.5, rel=0.05)
    assert np.isfinite(data.standardised(data.pooled(data.audio_features(np.zeros(data.RATE))))).all()


def test_mel_filters_are_triangles_of_equal_area():
    filters = data.mel_filters(10)
    assert filters.shape == (10, 257) and (filters >= 0).all()
    areas = filters.sum(1) * data.RATE / data.WINDOW
    assert areas[3:] == pytest.approx(1, rel=0.05)


def test_pooled_and_standardised():
    features = np.random.default_rng(0).uniform(1, 2, (11, 8))
    short = data.pooled(features)
    assert short.shape == (2, 8)
    assert short[1, 3] == pytest.approx(features[4:8, 3].mean())
    assert short[0, 0] == pytest.approx(np.log(features[:4, 0] + 1e-8).mean())
    features[:, 2] = 7.0
    made = data.standardised(features)
    assert np.median(made, 0) == pytest.approx(0) and (made[:, 2] == 0).all()
    assert made[:, [0, 1, 3]].std(0) == pytest.approx(1)


def test_rendered_pieces_have_an_alignment_of_one_note_a_frame():
    pieces = data.rendered()
    assert len(pieces) == 10
    for own in pieces:
        assert (own.alignment.sum(1) == 1).all() and (own.alignment.sum(0) > 0).all()
        assert data.mean_deviation(own, own.onset_frames * data.FRAME) < data.FRAME / 2
        assert data.area(own, own.onset_frames) == 0
        assert len(own.score) == len(own.onsets) + 1 and own.features.shape[1] == 8
    assert len(data.keys(pieces)) == 18
    assert data.unseen(pieces[7], pieces[:7] + pieces[8:]) == [79, 81]


def test_bach10_folder(tmp_path):
    rate = 44100
    for number, name in enumerate(["01-A", "02-B", "03-C"]):
        folder = tmp_path / name
        folder.mkdir()
        tone = np.sin(2 * np.pi * 440 * np.arange((3 + number) * rate) / rate)
        wavfile.write(folder / f"{name}.wav", rate, (8000 * tone).astype(np.int16))
        wavfile.write(folder / f"{name}-violin.wav", rate, np.zeros(10, np.int16))
        notes = [(120, 2000, 72, 1), (110, 2000, 60, 2), (2100, 4000, 74, 1), (1150, 3000, 71, 1), (1160, 3000, 55, 4)]
        (folder / f"{name}.txt").write_text("".join("\t".join(map(str, note)) + "\n" for note in notes))
    pieces = data.recorded(tmp_path)
    assert [own.name for own in pieces] == ["01-A", "02-B", "03-C"]
    assert pieces[0].pitches.tolist() == [72, 71, 74]
    assert pieces[0].onsets.tolist() == [0.0, 1.15, 2.1]
    assert pieces[0].score.tolist() == [2000, 3000, 4000, 5000]
    for number, own in enumerate(pieces):
        assert own.duration == pytest.approx(3 + number, abs=data.FRAME)
    shutil.rmtree(tmp_path / "03-C")
    with pytest.raises(SystemExit, match="has 2 pieces; expected at least 3"):
        data.recorded(tmp_path)


def test_baselines_read_no_audio():
    own = data.Piece("p", np.zeros((100, 8)), np.array([60, 61, 62]), np.zeros(3), np.array([2.0, 3.0, 5.0, 6.0]))
    assert data.uniform_onsets(own) == pytest.approx(own.duration * np.array([0, 1, 2]) / 3)
    assert data.rhythm_onsets(own) == pytest.approx(own.duration * np.array([0, 1, 3]) / 4)


def test_the_loss_through_dtw_has_the_right_gradient():
    pieces = [piece(0), piece(1, 16)]
    keys = data.keys(pieces)
    lesson = Lesson(pieces, keys)
    flat = torch.randn(3 * len(keys), dtype=torch.float64, generator=torch.Generator().manual_seed(0))

    def loss(values: torch.Tensor) -> torch.Tensor:
        return lesson.alignment_loss(log_probabilities(values, lesson.features), 0.7)

    assert torch.autograd.gradcheck(loss, flat.requires_grad_())
    ideal = [
        -1000.0 * (1.0 - truth) @ selection.T for truth, selection in zip(lesson.truths, lesson.selections, strict=True)
    ]
    assert float(lesson.alignment_loss(torch.cat(ideal), 0.7)) < 0.2 < float(loss(flat.detach()))


def test_learning_lowers_both_losses_and_finds_the_notes():
    pieces = [piece(seed, 40) for seed in range(4)]
    keys = data.keys(pieces)
    lesson = Lesson(pieces, keys)
    start, first = pretrained(lesson, Classifier.zero(keys, 2), 1e-3, 20)
    model, second = end_to_end(lesson, start, 1e-3, 1.0, 20)
    assert first[0] == pytest.approx(np.log(len(keys))) and first[-1] < first[0] and second[-1] < second[0]
    new = piece(9, 40)
    assert data.mean_deviation(new, model.onsets(new)) < data.mean_deviation(new, np.zeros(10)) / 3


def test_hard_onsets_follow_the_cheap_cells():
    own = piece()
    assert (hard_onset_frames(1.0 - own.alignment) == own.onset_frames).all()


def test_settings_are_chosen_by_pieces_that_are_not_the_test_piece():
    inner = [
        {"left_out": ["a", "b"], "end_to_end": {"0.1 1": [100.0, 1.0]}},
        {"left_out": ["c", "a"], "end_to_end": {"0.1 1": [3.0, 100.0]}},
    ]
    assert inner_means(inner, "end_to_end", "a") == {"0.1 1": 2.0}


@pytest.fixture(scope="module")
def quick(tmp_path_factory, start) -> Path:
    """The results of a quick run."""
    folder = tmp_path_factory.mktemp("audio_to_score")
    start("examples.audio_to_score", "train", "--quick", "--out", folder)
    return folder


@pytest.fixture
def command(monkeypatch) -> Callable[..., None]:
    """Run the command line in this process: its imports take longer than a quick run."""

    def run(*arguments: object) -> None:
        monkeypatch.setattr(sys, "argv", ["audio_to_score", *map(str, arguments)])
        main()

    return run


def test_a_quick_run_learns_and_writes_results(quick):
    folds = sorted(quick.glob("fold_*.json"))
    assert len(folds) == 3
    for path in folds:
        fold = json.loads(path.read_text())
        for losses in fold["losses"].values():
            assert losses[-1] < 0.95 * losses[0]
        assert set(fold["errors"]) == set(report.ROWS)
        assert all(0 <= value < 40 for errors in fold["errors"].values() for value in errors.values())
    assert not list(quick.glob("*.partial"))


def test_a_run_is_resumed_with_its_own_settings_only(quick, command):
    before = {path.name: path.stat().st_mtime_ns for path in quick.glob("*.json")}
    lost = quick / "fold_02.json"
    held = json.loads(lost.read_text())
    lost.unlink()
    time.sleep(0.01)
    command("train", "--quick", "--out", quick, "--resume")
    after = {path.name: path.stat().st_mtime_ns for path in quick.glob("*.json")}
    assert [name for name in before if after[name] != before[name]] == ["fold_02.json"]
    again = json.loads(lost.read_text())
    assert again["chosen"] == held["chosen"] and again["errors"]["random_costs"] == held["errors"]["random_costs"]
    with pytest.raises(SystemExit, match=r"other settings: \['seed'\]"):
        command("train", "--quick", "--out", quick, "--resume", "--seed", 1)


def test_a_run_without_resume_begins_anew(tmp_path):
    settings = Settings("rendered", ("a", "b", "c"), 0, 10)
    for name in ("inner.json", "fold_01.json", "notes.txt"):
        (tmp_path / name).write_text("old")
    prepare(tmp_path, settings, resume=False)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["notes.txt", "run.json"]


def test_a_report_is_made_from_the_results(quick, tmp_path, command, capsys):
    page = tmp_path / "README.md"
    names = [f"rendered {name}" for name in report.TABLES]
    page.write_text("".join(f"<!-- {name} -->\n<!-- end of {name} -->\n" for name in names))
    command("report", "--out", quick, "--page", page, "--pictures", tmp_path)
    assert str(page) in capsys.readouterr().out
    text = page.read_text()
    assert "| end-to-end |" in text and "3 pieces, each left out once" in text and "NOT the Bach10" in text
    pictures = sorted(path.name for path in tmp_path.glob("*.png"))
    assert pictures == [f"rendered_{name}.png" for name in ("alignment_maps", "errors", "two_operators")]


def test_an_unfinished_run_has_no_report(quick, tmp_path):
    shutil.copytree(quick, tmp_path / "part")
    (tmp_path / "part" / "fold_01.json").unlink()
    with pytest.raises(SystemExit, match="results of 2 test pieces; expected 3"):
        report.results(tmp_path / "part")


@pytest.mark.parametrize("folder", sorted({"results", *(path.parent.name for path in HOME.glob("*/run.json"))}))
def test_the_readme_shows_the_results_that_lie_beside_it(folder):
    run, folds = report.results(HOME / folder)
    text = (HOME / "README.md").read_text(encoding="utf-8")
    audio = run["settings"]["audio"]
    for name, table in report.TABLES.items():
        assert f"<!-- {audio} {name} -->\n{table(run, folds)}\n<!-- end of {audio} {name} -->" in text
