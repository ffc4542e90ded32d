"""An installed dagdp works: run with the Python of an environment that has a wheel, from any folder but a checkout's.

    python tests/smoke.py            the package alone
    python tests/smoke.py torch      what an extra adds: torch, plots, examples, cuda12, cuda13, or several

It uses the standard library and what the wheel and its extras install. `make dist` runs it on the plain wheel.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.metadata
import importlib.util
import io
import math
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

import dagdp

BROUGHT = {"torch": "torch", "plots": "matplotlib", "examples": "jieba", "cuda12": "cuda.core", "cuda13": "cuda.core"}


def test_package() -> None:
    """It is the installed one, with its metadata, its type hints and every public name."""
    home = Path(dagdp.__file__).parent
    assert home.parent.name in ("site-packages", "dist-packages"), f"{home} is no installed package"
    assert not (home / "graphs").is_symlink() and (home / "py.typed").exists()
    distribution = importlib.metadata.distribution("dagdp")
    assert distribution.version == dagdp.__version__
    files = [str(file) for file in distribution.files or ()]
    assert any(file.endswith("licenses/LICENSE") for file in files)
    assert not [file for file in files if file.startswith(("tests", "examples", "docs", "graphs"))]
    assert all(getattr(dagdp, name) is not None for name in dagdp.__all__)
    assert all(getattr(dagdp, name).__name__ == f"dagdp.{name}" for name in ("graphs", "plot", "reference", "testing"))


def test_numbers() -> None:
    """Value, gradient and Hessian product of three paths of scores 2, 1.5 and 1.5, against closed forms."""
    dag = dagdp.compile(dagdp.Graph.from_edges([0, 0, 1, 2, 0], [1, 2, 3, 3, 3]))
    theta, z = np.array([1.0, 0.5, 1.0, 1.0, 1.5]), np.array([1.0, 0.0, 0.0, 0.0, 0.0])
    value, grad = dagdp.dp_value_and_grad(dag, theta)
    share = np.exp(np.array([2.0, 1.5, 1.5]))
    assert math.isclose(value, math.log(share.sum()), abs_tol=1e-12)
    first, second, third = share / share.sum()
    np.testing.assert_allclose(grad, [first, second, first, second, third], atol=1e-12)
    product = dagdp.dp_hvp(dag, theta, z)
    expected = [first * (1 - first), -first * second, first * (1 - first), -first * second, -first * third]
    np.testing.assert_allclose(product, expected, atol=1e-12)
    assert dagdp.best_path(dag, theta).names(dag) == [0, 1, 3]


def test_graphs() -> None:
    """A recurrence, and a ready-made graph, whose cost is minimised."""
    text = "v[0] = 0\nv[j] = max[i](when(i < j, v[i] + w[i, j]))\nreturn v[-1]"
    dag = dagdp.compile(dagdp.recurrence(text, {"w": (4, 4)}, i=4, j=4))
    assert dagdp.dp_value(dag, np.ones((4, 4)), dagdp.HardMax()) == 3.0
    assert dagdp.graphs.dtw_value(np.array([[1.0, 2.0], [4.0, 0.5]]), dagdp.HardMax()) == 1.5


def test_the_machine_is_described() -> None:
    """`show_versions` and `python -m dagdp.doctor`, whose self-test passes. No device is needed to ask for one."""
    with contextlib.redirect_stdout(io.StringIO()) as written:
        dagdp.show_versions()
    assert f"dagdp {dagdp.__version__}" in written.getvalue()
    done = subprocess.run([sys.executable, "-m", "dagdp.doctor"], capture_output=True, text=True, check=False)
    assert done.returncode == 0 and "self-test: passed" in done.stdout, done.stdout + done.stderr
    assert dagdp.cuda.is_available() in (True, False)
    dagdp.cuda.check()


def test_missing_packages_are_named() -> None:
    """What an extra brings is asked for by the name of the extra."""
    if importlib.util.find_spec("torch") is None:
        assert "pip install dagdp[torch]" in _import_error(lambda: dagdp.nn)
        assert "nn" not in dir(dagdp)
    if importlib.util.find_spec("matplotlib") is None:
        assert "pip install dagdp[plots]" in _import_error(lambda: dagdp.plot.attention_map([[0.5, 0.5]]))


def _import_error(attempt: Callable[[], object]) -> str:
    try:
        attempt()
    except ImportError as error:
        return str(error)
    raise AssertionError("nothing was raised")


def test_torch() -> None:
    """A layer and its gradient, against the gradient from NumPy; a second derivative; the device is not needed."""
    import torch

    theta = torch.arange(12.0, dtype=torch.float64).reshape(3, 2, 2).cos().requires_grad_()
    dag = dagdp.compile(dagdp.graphs.trellis(3, 2))
    (grad,) = torch.autograd.grad(dagdp.nn.DPValue(dag)(theta), theta, create_graph=True)
    np.testing.assert_allclose(grad.detach(), dagdp.dp_grad(dag, theta.detach().numpy()), atol=1e-12)
    (second,) = torch.autograd.grad(grad[0, 0, 0], theta)
    assert torch.isfinite(second).all() and second.abs().max() > 0.0
    crf = dagdp.nn.LinearChainCRF(3)
    assert crf.value(torch.zeros(2, 5, 3)).shape == (2,)


def test_plots() -> None:
    """A picture is drawn without a display."""
    import matplotlib

    matplotlib.use("Agg")
    ax = dagdp.plot.attention_map([[0.7, 0.3], [0.0, 1.0]], rows=["le", "chat"], columns=["the", "cat"])
    ax.figure.canvas.draw()
    assert ax.has_data() and [label.get_text() for label in ax.get_xticklabels()] == ["the", "cat"]


def test_cuda() -> None:
    """A device kernel compiles for sm_90, on a machine without a device; its launcher can be imported."""
    import cuda.core  # noqa: F401

    from dagdp.kernels.cuda.compilation.build import build, sweep_of
    from dagdp.kernels.cuda.compilation.cubins import Key
    from dagdp.kernels.cuda.records import Variant

    variant = Variant(
        tangent=False, backward=False, weights=False, decode=False, edge_blocks=1, node_blocks=0, pairs=False,
        readers=False, shared_ring=False, warp=False, starts=False,
    )  # fmt: skip
    key = Key(type(dagdp.Negentropy(1.0).data(np.float32)), np.float32, variant, (9, 0))
    assert build(sweep_of(key), key).code.startswith(b"\x7fELF")


def main() -> int:
    """Run the tests of the extras that the command line names, and those of the package."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("extras", nargs="*", choices=[*BROUGHT, []], help="extras that are installed")
    extras = parser.parse_args().extras
    tests = [
        test_package, test_numbers, test_graphs, test_the_machine_is_described, test_missing_packages_are_named,
    ]  # fmt: skip
    for extra in extras:
        assert importlib.util.find_spec(BROUGHT[extra]) is not None, f"{extra} brought no {BROUGHT[extra]}"
    if "torch" in extras:
        tests.append(test_torch)
    if {"plots", "examples"} & set(extras):
        tests.append(test_plots)
    if {"cuda12", "cuda13"} & set(extras):
        tests.append(test_cuda)
    for test in tests:
        begun = time.perf_counter()
        test()
        sys.stdout.write(f"{test.__name__}: passed, {time.perf_counter() - begun:.1f} s\n")
        sys.stdout.flush()
    sys.stdout.write(f"dagdp {dagdp.__version__}, Python {sys.version.split()[0]}: {len(tests)} passed, 0 failed\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
