"""`dagdp.bulk.pairwise` against a plain loop; outputs on disk that go on after a kill; what bad input is told."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import dagdp
from dagdp.graphs import dtw_value

pytest.importorskip("dask")
pytest.importorskip("zarr")

from dagdp.bulk import distances, pairwise

ROOT = Path(__file__).resolve().parents[1]


def ragged(count: int, d: int | None = None, seed: int = 0, offset: float = 0.0) -> list[np.ndarray]:
    chance = np.random.default_rng(seed)
    shapes = [(int(n), d) if d else (int(n),) for n in chance.integers(1, 12, count)]
    return [chance.normal(size=shape) + offset for shape in shapes]


def by_loops(a: np.ndarray, b: np.ndarray, gamma: float) -> float:
    """(Soft-)DTW by the textbook's two loops; gamma 0 for DTW."""
    a, b = (s.reshape(len(s), -1) for s in (a, b))
    v = np.full((len(a) + 1, len(b) + 1), np.inf)
    v[0, 0] = 0.0
    for i in range(len(a)):
        for j in range(len(b)):
            before = np.array([v[i, j], v[i, j + 1], v[i + 1, j]])
            least = before.min()
            soft = least - gamma * np.log(np.exp(-(before - least) / gamma).sum()) if gamma else least
            v[i + 1, j + 1] = ((a[i] - b[j]) ** 2).sum() + soft
    return float(v[-1, -1])


@pytest.mark.parametrize("gamma", [0.0, 0.5])
@pytest.mark.parametrize("d", [None, 3])
def test_each_entry_is_that_of_a_plain_loop(gamma, d):
    x, y = ragged(7, d), ragged(5, d, seed=1)
    omega = dagdp.Negentropy(gamma) if gamma else dagdp.HardMax()
    for second in (None, y):
        found = pairwise(x, second, omega=omega, block=3, threads=2, progress=False)
        want = [[by_loops(a, b, gamma) for b in second or x] for a in x]
        np.testing.assert_allclose(found, want, rtol=1e-10, atol=1e-10)


def test_series_far_from_zero_lose_no_digits():
    x = ragged(4, offset=1e6)
    want = [[by_loops(a, b, 0.0) for b in x] for a in x]
    np.testing.assert_allclose(pairwise(x, omega=dagdp.HardMax(), progress=False), want, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    "options",
    [
        {"band": 2},
        {"cost": "l1", "steps": "symmetric2"},
        {"cost": "cosine", "penalty": 0.3},
        {"window": 3},
        {"open_end": True},
        {"psi": 1},
        {"steps": "asymmetric"},
        {"cost": lambda a, b: np.abs(a[:, None, 0] - 2 * b[None, :, 0])},
    ],
    ids=lambda options: " ".join(f"{name} {'own' if callable(value) else value}" for name, value in options.items()),
)
def test_options_are_those_of_dtw_value(options):
    """A half is mirrored only where it is equal."""
    x = ragged(5, 2)
    found = pairwise(x, block=2, progress=False, **options)
    want = [[dtw_value(x=a, y=b, **options) for b in x] for a in x]
    np.testing.assert_allclose(found, want, rtol=1e-9, atol=1e-9)


def test_half_of_the_blocks_is_computed(monkeypatch):
    seen = []
    whole = distances.block_of
    monkeypatch.setattr(distances, "block_of", lambda *given: seen.append(1) or whole(*given))
    x = ragged(8)
    pairwise(x, block=2, progress=False)
    half = len(seen)
    pairwise(x, block=2, progress=False, symmetric=False)
    assert half == 10 + 2 and len(seen) - half == 16 + 2  # with one for the check of options, one for the kernels


def test_the_dtype_is_float32_where_all_series_are():
    x = [series.astype(np.float32) for series in ragged(3)]
    assert pairwise(x, progress=False).dtype == np.float32
    assert pairwise([*x, np.ones(2)], progress=False).dtype == np.float64
    assert pairwise(np.zeros((2, 3), int), progress=False).shape == (2, 2)


@pytest.mark.parametrize("suffix", ["npy", "zarr"])
def test_a_matrix_on_disk_is_resumed_block_by_block(tmp_path, monkeypatch, suffix):
    x, out = ragged(7), tmp_path / f"matrix.{suffix}"
    want = pairwise(x, progress=False)
    left, whole = [3 + 2], distances.block_of

    def some(*given):
        left[0] -= 1
        if left[0] < 0:
            raise MemoryError("enough")
        return whole(*given)

    monkeypatch.setattr(distances, "block_of", some)
    with pytest.raises(MemoryError):
        pairwise(x, out=out, block=2, threads=1, progress=False)
    lines = (tmp_path / f"{out.name}.blocks").read_text().splitlines()
    assert 1 <= len(lines) - 1 <= 3
    with (tmp_path / f"{out.name}.blocks").open("a") as record:
        record.write("1")  # what a kill leaves of a line
    left[0] = 100
    found = pairwise(x, out=out, block=2, threads=1, progress=False)
    assert 100 - left[0] == 10 - (len(lines) - 1) + 2
    np.testing.assert_allclose(found[:], want)
    left[0] = 1  # the check of the options alone: nothing is left to do
    np.testing.assert_allclose(pairwise(x, out=str(out), block=2, progress=False)[:], want)


def test_runs_are_not_mixed(tmp_path):
    x, out = ragged(4), tmp_path / "matrix.npy"
    pairwise(x, out=out, block=2, progress=False)
    for name, given in {
        "x": {"x": ragged(4, seed=5)},
        "options": {"omega": dagdp.Negentropy(2.0)},
        "block": {"block": 3},
        "y": {"y": x},
    }.items():
        with pytest.raises(dagdp.InputError, match=rf"other values of .*{name}.*resume=False"):
            pairwise(**{"x": x, "out": out, "block": 2, "progress": False, **given})
    again = pairwise(x, out=out, omega=dagdp.HardMax(), resume=False, progress=False)
    np.testing.assert_allclose(again, pairwise(x, omega=dagdp.HardMax(), progress=False))
    (tmp_path / "other.npy").write_bytes(b"kept")
    with pytest.raises(dagdp.InputError, match="the record of its blocks, does not"):
        pairwise(x, out=tmp_path / "other.npy", progress=False)
    assert (tmp_path / "other.npy").read_bytes() == b"kept"


def test_two_processes_do_not_write_one_matrix(tmp_path):
    pytest.importorskip("fcntl")
    from dagdp.bulk.output import Record

    x, out = ragged(4), tmp_path / "matrix.npy"
    pairwise(x, out=out, progress=False)
    holder = Record(tmp_path / "matrix.npy.blocks")
    with pytest.raises(dagdp.InputError, match="another process writes"):
        pairwise(x, out=out, progress=False)
    holder.close()
    pairwise(x, out=out, progress=False)


def test_a_killed_process_loses_no_finished_block(tmp_path):
    """SIGKILL in the middle, then the rest in this process."""
    out, record = tmp_path / "matrix.zarr", tmp_path / "matrix.zarr.blocks"
    code = f"""if True:
        import numpy as np
        from dagdp.bulk import pairwise
        x = list(np.random.default_rng(0).normal(size=(40, 200)))
        pairwise(x, out={str(out)!r}, block=4, threads=1, progress=False)
    """
    child = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT)
    until = time.monotonic() + 60
    while child.poll() is None and time.monotonic() < until:
        if record.exists() and record.read_text().count("\n") > 4:
            break
        time.sleep(0.005)
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    done = record.read_text().count("\n") - 1
    assert 4 <= done < 55
    x = list(np.random.default_rng(0).normal(size=(40, 200)))
    found = pairwise(x, out=out, block=4, progress=False)
    np.testing.assert_allclose(found[:], pairwise(x, progress=False))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"x": [[1.0], [1.0, np.nan]]}, r"x\[1\] has NaN at \[1\]"),
        ({"x": [[1.0]], "y": [[1.0], [[2.0], [np.inf]]]}, r"y\[1\] has inf at \[1, 0\]"),
        ({"x": [[1.0], []]}, r"x\[1\] has shape \(0,\)"),
        ({"x": []}, "x has no series"),
        ({"x": 3}, "x is a int"),
        ({"x": [["a"]]}, r"x\[0\] has dtype"),
        ({"x": [[[1.0], [1.0, 2.0]]]}, r"x\[0\] is a ragged list"),
        ({"x": [[1.0], [[1.0, 2.0]]]}, r"x\[1\] has 2 features"),
        ({"x": [[1.0]], "y": [[[1.0, 2.0]]]}, r"y\[0\] has 2"),
        ({"x": [[1.0]], "cost": "l3"}, "cost='l3'"),
        ({"x": [[1.0]], "out": "matrix.txt"}, "ends in .npy or .zarr"),
        ({"x": [[1.0]], "block": 0}, "block=0"),
        ({"x": [[1.0]], "threads": 0}, "threads=0"),
        ({"x": [[1.0]], "client": "tcp://"}, "client is a str"),
        ({"x": [[1.0]], "penalty": [1.0]}, "penalty has shape"),
        ({"x": [[1.0]], "window": np.ones((1, 1), bool)}, "window is an array"),
    ],
)
def test_bad_input_is_named(given, message):
    with pytest.raises(dagdp.InputError, match=message):
        pairwise(**given, progress=False)


def test_a_fault_of_the_options_is_met_before_the_first_block(tmp_path):
    with pytest.raises(dagdp.GraphError, match="steps"):
        pairwise(ragged(3), steps="sideways", out=tmp_path / "matrix.npy", progress=False)
    with pytest.raises(dagdp.OmegaError, match="omega is a float"):
        pairwise(ragged(3), omega=0.5, progress=False)
    assert not list(tmp_path.iterdir())


def test_the_bar_counts_pairs(capsys):
    pytest.importorskip("tqdm")
    pairwise(ragged(4), block=2)
    assert "12/12" in capsys.readouterr().err
