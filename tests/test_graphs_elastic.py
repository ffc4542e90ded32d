"""Elastic distances and Drop-DTW against direct loops and numbers of aeon."""

from __future__ import annotations

import numpy as np
import pytest

from dagdp import HardMax, InputError, Negentropy, SquaredL2, compile, dp_value
from dagdp.graphs import (
    drop_dtw,
    edr_distance,
    erp_distance,
    lcss_length,
    msm_distance,
    time_series,
    twe_distance,
)

rng = np.random.default_rng(7)
x, y = rng.normal(size=9).round(2), rng.normal(size=7).round(2)
X, Y = rng.normal(size=(9, 2)).round(2), rng.normal(size=(7, 2)).round(2)


def norm(a):
    return float(np.sqrt((np.atleast_1d(a) ** 2).sum()))


def between(low, value, high):
    """How far a value is from the interval between two numbers."""
    low, high = min(low, high), max(low, high)
    return max(low - value, value - high, 0.0)


def edits(n, m, match, delete, insert, least=min):
    """v of the last cell, by rows; a cost is a function of a cell, counted from 1."""
    v = np.full((n + 1, m + 1), np.inf if least is min else -np.inf)
    v[0, 0] = 0.0
    for i in range(n + 1):
        for j in range(m + 1):
            if i or j:
                ways = [v[i - 1, j - 1] + match(i, j)] if i and j else []
                ways += [v[i - 1, j] + delete(i, j)] if i else []
                ways += [v[i, j - 1] + insert(i, j)] if j else []
                v[i, j] = least(ways)
    return v[n, m]


def erp(a, b, g=0.2):
    return edits(len(a), len(b), lambda i, j: norm(a[i - 1] - b[j - 1]), lambda i, j: norm(a[i - 1] - g),
                 lambda i, j: norm(b[j - 1] - g))  # fmt: skip


def edr(a, b, epsilon=0.5):
    return edits(
        len(a), len(b), lambda i, j: float(norm(a[i - 1] - b[j - 1]) >= epsilon), lambda i, j: 1, lambda i, j: 1
    )


def lcss(a, b, epsilon=0.5):
    return edits(
        len(a), len(b), lambda i, j: float(norm(a[i - 1] - b[j - 1]) <= epsilon), lambda i, j: 0, lambda i, j: 0, max
    )


def twe(a, b, nu=0.01, lmbda=0.5):
    a, b = np.concatenate([0 * a[:1], a]), np.concatenate([0 * b[:1], b])
    return edits(
        len(a) - 1,
        len(b) - 1,
        lambda i, j: norm(a[i] - b[j]) + norm(a[i - 1] - b[j - 1]) + 2 * nu * abs(i - j),
        lambda i, j: norm(a[i] - a[i - 1]) + nu + lmbda if j else np.inf,
        lambda i, j: norm(b[j] - b[j - 1]) + nu + lmbda if i else np.inf,
    )


def msm(a, b, c=0.3):
    v = np.full((len(a), len(b)), np.inf)
    for i in range(len(a)):
        for j in range(len(b)):
            ways = [v[i - 1, j - 1] + abs(a[i] - b[j])] if i and j else [abs(a[0] - b[0])] if i == j else []
            ways += [v[i - 1, j] + c + between(a[i - 1], a[i], b[j])] if i else []
            ways += [v[i, j - 1] + c + between(a[i], b[j], b[j - 1])] if j else []
            v[i, j] = min(ways)
    return v[-1, -1]


CASES = {
    "erp": (erp_distance, {"g": 0.2}, erp),
    "edr": (edr_distance, {"epsilon": 0.5}, edr),
    "lcss": (lcss_length, {"epsilon": 0.5}, lcss),
    "twe": (twe_distance, {"nu": 0.01, "lmbda": 0.5}, twe),
    "msm": (msm_distance, {"c": 0.3}, msm),
}
each_distance = pytest.mark.parametrize("name", CASES)


@each_distance
def test_a_distance_is_that_of_a_direct_loop(name):
    function, options, loop = CASES[name]
    assert function(x, y, **options) == pytest.approx(loop(x, y), abs=1e-12)
    if name != "msm":
        assert function(X, Y, **options) == pytest.approx(loop(X, Y), abs=1e-12)


def test_distances_are_those_of_aeon():
    """aeon 1.6.0. Its erp and edr fill the borders of the table in another way than the papers, and are left out."""
    assert twe_distance(x, y, nu=0.01, lmbda=0.5) == pytest.approx(8.23, abs=1e-12)
    assert twe_distance(X, Y, nu=0.01, lmbda=0.5) == pytest.approx(22.102292738659045, abs=1e-12)
    assert msm_distance(x, y, c=0.3) == pytest.approx(4.85, abs=1e-12)
    assert msm_distance(x, y, c=1.0) == pytest.approx(6.42, abs=1e-12)
    assert 1 - lcss_length(x, y, epsilon=0.5) / 7 == pytest.approx(0.2857142857142857, abs=1e-12)
    assert lcss_length(X, Y, epsilon=0.9) == 3.0


@each_distance
def test_a_ragged_batch_equals_each_pair_alone(name):
    """Under SquaredL2, too, as no node is added."""
    function, options, _ = CASES[name]
    lengths = [(9, 7), (5, 6), (1, 1)]
    pairs = np.full((3, 9, 1), np.nan), np.full((3, 7, 1), np.nan)
    for b, (n, m) in enumerate(lengths):
        pairs[0][b, :n, 0], pairs[1][b, :m, 0] = x[:n], y[:m]
    for omega in (HardMax(), SquaredL2(0.5)) if name == "erp" else (HardMax(),):
        found = function(*pairs, omega, lengths=tuple(np.array(lengths).T), **options)
        alone = [function(x[:n], y[:m], omega, **options) for n, m in lengths]
        np.testing.assert_allclose(found, alone, atol=1e-12)


@each_distance
def test_torch_is_numpy_and_is_differentiated_twice(name):
    torch = pytest.importorskip("torch")
    function, options, _ = CASES[name]
    a, b = (torch.from_numpy(series.copy()).requires_grad_() for series in (x[:4], y[:3]))
    omega = Negentropy(0.5)
    assert function(a, b, omega, **options).item() == pytest.approx(function(x[:4], y[:3], omega, **options), abs=1e-12)
    padded = torch.cat([a, a.new_full((2,), torch.nan)])[None, :, None]
    value = function(padded, b[None, :, None], omega, lengths=([4], [3]), **options)
    assert value.item() == pytest.approx(function(a, b, omega, **options).item(), abs=1e-12)
    if name in ("erp", "twe", "msm"):
        (gradient,) = torch.autograd.grad(value.sum(), a)
        assert gradient.isfinite().all()

        def of_series(a, b):
            return function(a, b, omega, **options)

        assert torch.autograd.gradcheck(of_series, (a, b))
        assert name == "msm" or torch.autograd.gradgradcheck(of_series, (a, b))


def test_parameters_learn():
    torch = pytest.importorskip("torch")
    a, b = torch.from_numpy(x[:4]), torch.from_numpy(y[:3])
    learnt = {name: torch.tensor(0.3, dtype=torch.float64, requires_grad=True) for name in ("g", "nu", "c", "gap")}
    value = (
        erp_distance(a, b, g=learnt["g"])
        + twe_distance(a, b, nu=learnt["nu"])
        + msm_distance(a, b, c=learnt["c"])
        + edr_distance(a, b, epsilon=0.5, gap=learnt["gap"])
    )
    value.backward()
    h = 1e-6

    def at(shift):
        return (
            erp_distance(a, b, g=0.3 + shift[0])
            + twe_distance(a, b, nu=0.3 + shift[1])
            + msm_distance(a, b, c=0.3 + shift[2])
            + edr_distance(a, b, epsilon=0.5, gap=0.3 + shift[3])
        ).item()

    for k, parameter in enumerate(learnt.values()):
        step = h * np.eye(4)[k]
        assert parameter.grad.item() == pytest.approx((at(step) - at(-step)) / (2 * h), abs=1e-6)


def double_drop_dtw(cost, drop_a, drop_b):
    """The table of the authors' program: min over the states (matched, b dropped, a dropped, both dropped)."""
    n, m = cost.shape
    v = np.full((n + 1, m + 1, 4), np.inf)
    v[0, 0, 3] = 0.0
    v[0, 1:, 3], v[1:, 0, 3] = np.cumsum(drop_b), np.cumsum(drop_a)
    for i in range(1, n + 1):
        for j in range(1, m + 1):
            left, up = v[i, j - 1], v[i - 1, j]
            v[i, j, 0] = cost[i - 1, j - 1] + min(v[i - 1, j - 1].min(), up[0], up[2], left[0], left[1])
            v[i, j, 1] = drop_b[j - 1] + min(left[0], left[1])
            v[i, j, 2] = drop_a[i - 1] + min(up[0], up[2])
            v[i, j, 3] = min(drop_b[j - 1] + min(left[2], left[3]), drop_a[i - 1] + min(up[1], up[3]))
    return v[n, m].min()


def test_drop_dtw_is_that_of_the_paper():
    generator = np.random.default_rng(3)
    for _ in range(20):
        cost, a, b = generator.random((5, 6)), generator.random(5) * 0.6, generator.random(6) * 0.6
        assert drop_dtw(cost, a, b, HardMax()) == pytest.approx(double_drop_dtw(cost, a, b), abs=1e-12)


def test_drop_dtw_of_a_ragged_batch_learns_its_costs():
    torch = pytest.importorskip("torch")
    cost = torch.from_numpy(rng.random((2, 4, 3)))
    a, b = torch.from_numpy(rng.random(4)), torch.tensor(0.3, dtype=torch.float64)
    lengths = ([4, 2], [3, 2])
    value = drop_dtw(cost, a, b, lengths=lengths)
    alone = drop_dtw(cost[1, :2, :2], a[:2], b)
    assert value[1].item() == pytest.approx(alone.item(), abs=1e-12)
    given = tuple(part.clone().requires_grad_() for part in (cost, a, b))

    def of_all(cost, a, b):
        return drop_dtw(cost, a, b, lengths=lengths)

    assert torch.autograd.gradcheck(of_all, given)


def test_a_builder_takes_the_potentials_by_hand():
    """The distance in two lines, from the user's own costs."""
    dag = compile(time_series.erp(9, 7))
    theta = {"match": np.abs(x[:, None] - y), "delete": np.abs(x), "insert": np.abs(y)}
    assert dp_value(dag, theta, HardMax()) == pytest.approx(erp_distance(x, y), abs=1e-12)


def test_bad_arguments_are_named():
    with pytest.raises(InputError, match=r"shapes \(9, 1\) and \(7, 2\); expected"):
        erp_distance(x, Y)
    with pytest.raises(InputError, match="the series have 2 features; expected 1"):
        msm_distance(X, Y)
    with pytest.raises(InputError, match=r"lengths is 3; expected a pair \(n_x, n_y\)"):
        twe_distance(x, y, lengths=3)
    with pytest.raises(InputError, match=r"theta\['match'\]\[0, 0\] is nan"):
        edr_distance(np.full(3, np.nan), y, epsilon=1.0)
