"""Options of dynamic time warping against dtw-python, direct loops, and calls for each item alone."""

from __future__ import annotations

import itertools
import warnings

import numpy as np
import pytest

import dagdp
from dagdp import GraphError, HardMax, InputError, Negentropy, SquaredL2
from dagdp.graphs import dtw_accumulated, dtw_grad, dtw_hvp, dtw_path, dtw_subsequence, dtw_value
from dagdp.graphs.ragged import compiled_cache
from dagdp.graphs.warping.steps import moves_of, reads_of, span

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    dtw_python = pytest.importorskip("dtw")

COST = np.random.default_rng(0).random((8, 9))
NAMES = ["symmetric1", "symmetric2", "asymmetric", "symmetricP1", "rabiner-juang-4c", "asymmetricP05"]


def pattern_of(name):
    if name.startswith("rabiner"):
        return dtw_python.rabinerJuangStepPattern(int(name[14]), name[15], name.endswith("s"))
    return getattr(dtw_python.stepPattern, name)


def soft(values, gamma=1.0):
    """min_Ω under Negentropy; +inf for no value."""
    values = np.array([v for v in values if v < np.inf])
    return -gamma * np.log(np.exp(-values / gamma).sum()) if values.size else np.inf


def hard(values):
    return min(values, default=np.inf)


def loop(cost, moves, least, begin=None, end=None, penalty=0.0, inside=None):
    """v of every cell and the value, by the definition: begin and end are functions of a cell, true where allowed."""
    n, m = cost.shape
    v = np.full((n, m), np.inf)
    begin = begin or (lambda i, j: i == j == 0)
    end = end or (lambda i, j: (i, j) == (n - 1, m - 1))
    for i, j in itertools.product(range(n), range(m)):
        if inside is not None and not inside[i, j]:
            continue
        ways = [cost[i, j]] if begin(i, j) else []
        for move in moves:
            rows, columns = span(move)
            if i >= rows and j >= columns:
                paid = sum(w * cost[i - a, j - b] for a, b, w in reads_of(move) if w)
                aside = sum(di != dj for di, dj, _ in move)
                ways.append(v[i - rows, j - columns] + paid + penalty * aside)
        v[i, j] = least(ways)
    return v, least([v[c] for c in np.ndindex(n, m) if end(*c)])


@pytest.mark.parametrize("name", NAMES)
def test_a_step_pattern_is_that_of_dtw_python(name):
    """Distance, path and accumulated costs."""
    known = dtw_python.dtw(COST, step_pattern=pattern_of(name), keep_internals=True)
    assert dtw_value(COST, HardMax(), steps=name) == pytest.approx(known.distance, abs=1e-12)
    assert dtw_value(COST, HardMax(), steps=pattern_of(name)) == pytest.approx(known.distance, abs=1e-12)
    path = dtw_path(COST, steps=name)
    assert path[path[:, 0] >= 0].tolist() == np.stack([known.index1, known.index2], -1).tolist()
    reached = np.nan_to_num(known.costMatrix, nan=np.inf)
    np.testing.assert_allclose(dtw_accumulated(COST, HardMax(), steps=name), reached, atol=1e-12)


@pytest.mark.parametrize("name", ["asymmetric", "rabiner-juang-4c", "rabiner-juang-5c", "asymmetricP05"])
def test_open_ends_are_those_of_dtw_python(name):
    pattern = pattern_of(name)
    for begin, end in ((False, True), (True, True), (True, False)):
        known = dtw_python.dtw(COST, step_pattern=pattern, open_begin=begin, open_end=end)
        ends = {"open_begin": begin, "open_end": end}
        assert dtw_value(COST, HardMax(), steps=name, **ends) == pytest.approx(known.distance, abs=1e-12)
        path = dtw_path(COST, steps=name, **ends)
        assert path[path[:, 0] >= 0].tolist() == np.stack([known.index1, known.index2], -1).tolist()


@pytest.mark.parametrize("name", ["symmetric1", "symmetric2", "symmetricP1"])
def test_windows_are_those_of_dtw_python(name):
    square = COST[:, :8]
    for window, args in ((("sakoechiba", 2), {"window_size": 2}), (("slantedband", 1.5), {"window_size": 1.5})):
        known = dtw_python.dtw(COST, step_pattern=pattern_of(name), window_type=window[0], window_args=args)
        assert dtw_value(COST, HardMax(), steps=name, window=window) == pytest.approx(known.distance, abs=1e-12)
    known = dtw_python.dtw(
        square, step_pattern=pattern_of(name), window_type="sakoechiba", window_args={"window_size": 1}
    )
    assert dtw_value(square, HardMax(), steps=name, window=1) == pytest.approx(known.distance, abs=1e-12)
    i, j = np.indices(square.shape)
    mask = dtw_python.itakuraWindow(i, j, 8, 8)
    known = dtw_python.dtw(square, step_pattern=pattern_of(name), window_type="itakura").distance
    assert dtw_value(square, HardMax(), steps=name, window=mask) == pytest.approx(known, abs=1e-12)
    outside = np.where(dtw_grad(square, Negentropy(1.0), steps=name, window=mask) > 0, square, np.nan)
    if name != "symmetricP1":  # a cell that a move passes may lie outside
        assert dtw_value(outside, HardMax(), steps=name, window=mask) == pytest.approx(known, abs=1e-12)


@pytest.mark.parametrize("least", [hard, soft])
@pytest.mark.parametrize("psi", [1, (2, 0, 1, 3), (0, 3, 0, 0), (0, 0, 9, 9), 0])
def test_psi_and_penalty_are_those_of_a_direct_loop(psi, least):
    begin_a, end_a, begin_b, end_b = (psi,) * 4 if isinstance(psi, int) else psi
    n, m = COST.shape

    def begin(i, j):
        return (i == 0 and j <= begin_b) or (j == 0 and i <= begin_a)

    def end(i, j):
        return (i == n - 1 and j >= m - 1 - end_b) or (j == m - 1 and i >= n - 1 - end_a)

    omega = HardMax() if least is hard else Negentropy(1.0)
    for penalty in (None, 0.3):
        _, known = loop(COST, moves_of("symmetric1"), least, begin, end, penalty or 0.0)
        assert dtw_value(COST, omega, psi=psi, penalty=penalty) == pytest.approx(known, abs=1e-12)


def test_dtaidistance():
    """dtw.distance of dtaidistance 2.5.0; its distance is a root, its penalty enters squared."""
    x, y = np.random.default_rng(5).normal(size=(2, 12)).round(2)
    y = y[:10]
    for options, known in DTAIDISTANCE:
        ours = dict(options)
        if "penalty" in ours:
            ours["penalty"] = ours["penalty"] ** 2
        if "window" in ours:
            ours["window"] = ours["window"] - 1
        assert np.sqrt(dtw_value(x=x, y=y, omega=HardMax(), **ours)) == pytest.approx(known, abs=1e-12)


DTAIDISTANCE = [
    ({}, 2.9315183779058938),
    ({"psi": 2}, 2.1365626599751293),
    ({"psi": (1, 2, 0, 3)}, 2.3068159874597716),
    ({"penalty": 0.5}, 3.3307356544763502),
    ({"penalty": 0.5, "psi": 1}, 2.7202573407675974),
    ({"window": 4, "penalty": 0.3, "psi": (0, 0, 2, 2)}, 2.9209073932598413),
]

OPTIONS = [
    {"steps": "symmetric2"},
    {"steps": "symmetricP1", "window": 2},
    {"window": ("itakura", 3.0), "penalty": 0.2},
    {"steps": "asymmetric", "open_begin": True, "open_end": True},
    {"psi": (1, 1, 0, 2), "penalty": 0.1},
]
TWICE = [OPTIONS[0], OPTIONS[4]]  # whose second derivatives are asked for: linear reads, and several potentials
MORE = [{"open_end": True}, {"steps": "symmetric2", "band": 1}, {"steps": "rabiner-juang-4c", "open_begin": True}]
ids = [", ".join(f"{k}={v}" for k, v in one.items()) for one in OPTIONS]


def ragged():
    """Costs of three pairs, NaN behind their lengths, and the lengths."""
    rng, lengths = np.random.default_rng(1), [(6, 7), (7, 6), (5, 5)]
    theta = np.full((3, 7, 7), np.nan)
    for b, (n, m) in enumerate(lengths):
        theta[b, :n, :m] = rng.random((n, m))
    return theta, lengths, tuple(np.array(lengths).T)


@pytest.mark.parametrize("options", OPTIONS, ids=ids)
def test_a_ragged_batch_equals_each_pair_alone(options):
    theta, lengths, both = ragged()
    z = np.random.default_rng(2).normal(size=theta.shape)
    fixed_end = {k: v for k, v in options.items() if k != "open_end"}
    value, path = dtw_value(theta, lengths=both, **options), dtw_grad(theta, lengths=both, **options)
    change = dtw_hvp(theta, z, lengths=both, **options) if options in TWICE else None
    best = dtw_path(theta, lengths=both, **options)
    table = dtw_accumulated(theta, lengths=both, **fixed_end)
    for b, (n, m) in enumerate(lengths):
        own, along = theta[b, :n, :m], z[b, :n, :m]
        assert value[b] == pytest.approx(dtw_value(own, **options), abs=1e-12)
        np.testing.assert_allclose(path[b, :n, :m], dtw_grad(own, **options), atol=1e-12)
        if change is not None:
            np.testing.assert_allclose(change[b, :n, :m], dtw_hvp(own, along, **options), atol=1e-11)
        np.testing.assert_array_equal(best[b, : n + m - 1], dtw_path(own, **options))
        assert not path[b, n:].any() and not path[b, :, m:].any() and (best[b, n + m - 1 :] == -1).all()
        np.testing.assert_allclose(table[b, :n, :m], dtw_accumulated(own, **fixed_end), atol=1e-12)
        assert np.isposinf(table[b, n:]).all() and np.isposinf(table[b, :, m:]).all()


@pytest.mark.parametrize("options", [OPTIONS[3], *MORE], ids=str)
def test_ragged_values_equal_each_pair_alone_under_a_sparse_operator(options):
    """Nodes count under SquaredL2: an end that is not fixed adds one to each item, in a batch and alone."""
    theta, lengths, both = ragged()
    value = dtw_value(theta, SquaredL2(0.5), lengths=both, **options)
    alone = [dtw_value(theta[b, :n, :m], SquaredL2(0.5), **options) for b, (n, m) in enumerate(lengths)]
    np.testing.assert_allclose(value, alone, atol=1e-12)


@pytest.mark.parametrize("options", [*OPTIONS, *MORE], ids=str)
def test_many_sizes_share_a_graph(options, monkeypatch):
    """Calls of other sizes are served by a graph of powers of two, and agree with a graph of their own."""
    monkeypatch.setattr(compiled_cache, "_cache", compiled_cache.GraphCache())
    sizes = [(6, 6), (7, 7), (5, 6), (8, 7)]
    found = [dtw_value(COST[:n, :m], **options) for n, m in sizes]
    assert len(compiled_cache._cache._graphs) == 2
    for (n, m), value in zip(sizes, found, strict=True):
        monkeypatch.setattr(compiled_cache, "_cache", compiled_cache.GraphCache())
        assert value == pytest.approx(dtw_value(COST[:n, :m], **options), abs=1e-12)


@pytest.mark.parametrize("options", OPTIONS, ids=ids)
def test_torch_is_numpy_and_is_differentiated_twice(options):
    torch = pytest.importorskip("torch")
    x, y = (torch.from_numpy(a).requires_grad_() for a in np.random.default_rng(2).normal(size=(2, 4, 1)))
    theta = torch.cdist(x, y).square().detach().numpy()
    value = dtw_value(x=x, y=y, **options)
    assert value.item() == pytest.approx(dtw_value(theta, **options), abs=1e-10)
    np.testing.assert_allclose(dtw_grad(torch.from_numpy(theta), **options), dtw_grad(theta, **options), atol=1e-12)
    np.testing.assert_array_equal(dtw_path(x=x, y=y, **options), dtw_path(theta, **options))

    def of_series(x, y):
        return dtw_value(x=x, y=y, **options)

    assert torch.autograd.gradcheck(of_series, (x, y))
    if options in TWICE:
        assert torch.autograd.gradgradcheck(of_series, (x, y))


def test_the_penalty_learns():
    torch = pytest.importorskip("torch")
    theta = torch.from_numpy(np.random.default_rng(3).random((2, 4, 5))).requires_grad_()
    shared, own = torch.tensor(0.3, dtype=torch.float64), torch.tensor([0.3, 0.1], dtype=torch.float64)
    for penalty in (shared.requires_grad_(), own.requires_grad_()):
        for steps in ("symmetric1", "symmetricP1"):

            def of_both(theta, penalty, steps=steps):
                return dtw_value(theta, steps=steps, penalty=penalty)

            assert torch.autograd.gradcheck(of_both, (theta, penalty))
            assert torch.autograd.gradgradcheck(of_both, (theta, penalty))


def test_float32_keeps_its_type():
    theta = COST.astype(np.float32)
    for options in TWICE:
        value, path = dtw_value(theta, **options), dtw_grad(theta, **options)
        assert value.dtype == path.dtype == np.float32
        assert value == pytest.approx(dtw_value(COST, **options), abs=1e-5)


def test_moves_of_ones_own():
    moves = [[(1, 1, 2), (0, 1, 0.5)], [(1, 1, 1)], [(2, 1, 1.5)], [(0, 1, 1), (1, 1, 0)]]
    for omega, least in ((HardMax(), hard), (Negentropy(1.0), soft)):
        table, value = loop(COST, moves_of(moves), least)
        assert dtw_value(COST, omega, steps=moves) == pytest.approx(value, abs=1e-12)
        np.testing.assert_allclose(dtw_accumulated(COST, omega, steps=moves), table, atol=1e-12)
    path = dtw_path(COST, steps=moves)
    path = path[path[:, 0] >= 0]
    assert path[0].tolist() == [0, 0] and path[-1].tolist() == [7, 8]
    edges = [tuple(span([step])) for move in moves for step in move]
    assert set(map(tuple, np.diff(path, axis=0))) <= set(edges)


def test_costs_outside_a_window_are_never_read():
    for steps in ("symmetric1", "symmetric2", "symmetricP1"):
        far = np.abs(np.subtract.outer(np.arange(8), np.arange(9))) > 4
        known = dtw_value(COST, steps=steps, window=2)
        theta = np.where(far, np.nan, COST)
        assert dtw_value(theta, steps=steps, window=2) == pytest.approx(known, abs=1e-14)
        assert not dtw_grad(theta, steps=steps, window=2)[far].any()


def test_a_window_without_a_path_is_an_infeasible_item():
    theta, lengths = np.stack([COST, COST]), ([8, 8], [9, 3])
    value = dtw_value(theta, lengths=lengths, window=("sakoechiba", 2))
    assert np.isfinite(value[0]) and value[1] == np.inf
    assert not dtw_grad(theta, lengths=lengths, window=("sakoechiba", 2))[1].any()
    assert (dtw_path(theta, lengths=lengths, window=("sakoechiba", 2))[1] == -1).all()
    for function in (dtw_value, dtw_path):
        with pytest.raises(InputError, match="1"):
            function(theta, lengths=lengths, window=("sakoechiba", 2), on_infeasible="raise")


def test_a_pattern_that_cannot_reach_the_end_is_an_infeasible_item():
    theta = np.zeros((2, 3, 9))
    assert dtw_value(theta, steps="asymmetric").tolist() == [np.inf, np.inf]
    assert dtw_value(theta, steps="asymmetric", lengths=(3, [9, 5])).tolist() == [np.inf, 0.0]
    assert dtw_value(np.zeros((9, 3)), steps="rigid", open_begin=True, open_end=True) == np.inf


def test_a_radius_is_tslearns():
    """dtw_path_from_metric(metric="precomputed", sakoe_chiba_radius=radius) of tslearn 0.10.0."""
    for n, m, radius, known in TSLEARN_RADIUS:
        assert dtw_value(COST[:n, :m], HardMax(), window=radius) == pytest.approx(known, abs=1e-12)


TSLEARN_RADIUS = [
    (8, 8, 1, 2.811551631851999),
    (8, 9, 1, 3.109598033380157),
    (8, 5, 0, 3.746160048647966),
    (4, 9, 1, 2.597065632708855),
]


def test_subsequences():
    """Of all subsequences of the second series the one of least DTW, by listing them."""
    rng = np.random.default_rng(4)
    x, y = rng.normal(size=(2, 4)), rng.normal(size=(2, 9))
    found = dtw_subsequence(x=x[..., None], y=y[..., None], omega=HardMax())
    for b in range(2):
        costs = (x[b, :, None] - y[b]) ** 2
        every = {(s, t): dtw_value(costs[:, s : t + 1], HardMax()) for s in range(9) for t in range(s, 9)}
        best = min(every, key=every.get)
        assert found.value[b] == pytest.approx(every[best], abs=1e-12)
        assert (found.begin[b], found.end[b]) == best
        np.testing.assert_array_equal(found.path[b], dtw_path(costs, psi=(0, 0, 9, 9)))
    table = dtw_accumulated(x=x[..., None], y=y[..., None], omega=HardMax(), open_begin=True)
    np.testing.assert_allclose(table[:, -1].min(-1), found.value, atol=1e-12)


def test_librosa_finds_the_same_subsequence():
    """sequence.dtw(C=COST[:4], subseq=True) of librosa 0.11.0."""
    value, path, begin, end = dtw_subsequence(COST[:4], HardMax())
    assert value == pytest.approx(LIBROSA["value"], abs=1e-12) and [int(begin), int(end)] == LIBROSA["ends"]
    assert path[path[:, 0] >= 0].tolist() == LIBROSA["path"]


LIBROSA = {"value": 0.5569167245850105, "ends": [2, 4], "path": [[0, 2], [1, 2], [2, 3], [3, 4]]}


def test_subsequences_of_tensors_are_differentiable():
    torch = pytest.importorskip("torch")
    theta = torch.from_numpy(COST[None]).requires_grad_()
    found = dtw_subsequence(theta, lengths=([5], [7]))
    found.value.sum().backward()
    np.testing.assert_allclose(
        theta.grad[0, :5, :7], dtw_grad(COST[:5, :7], open_begin=True, open_end=True), atol=1e-12
    )
    assert found.path.dtype == found.end.dtype == torch.int64
    alone = dtw_subsequence(COST[:5, :7])
    assert (found.begin.item(), found.end.item()) == (alone.begin, alone.end)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"steps": "symmetric3"}, GraphError, "steps='symmetric3'; expected one of symmetric1, symmetric2"),
        ({"steps": [[(0, 0, 1)]]}, GraphError, "not both 0"),
        ({"steps": [[(1, 0.5, 1)]]}, GraphError, "whole numbers of rows and columns"),
        ({"steps": []}, GraphError, r"steps=\[\]; expected moves"),
        ({"window": -1}, GraphError, "window=-1; expected a radius in whole cells, at least 0"),
        ({"window": ("itakura", 0.5)}, GraphError, "slope of at least 1"),
        ({"window": ("round", 1)}, GraphError, "expected a radius"),
        ({"window": np.ones((2, 2), bool)}, InputError, r"window has dtype bool and shape \(2, 2\); expected booleans"),
        ({"window": np.ones((8, 9))}, InputError, "window has dtype float64"),
        ({"window": 1, "band": 1}, GraphError, "band= and window= were given; expected one of them"),
        ({"psi": (1, 2)}, GraphError, r"psi=\(1, 2\); expected a whole number of entries"),
        ({"psi": 1, "open_end": True}, GraphError, "psi=1 was given with open_begin or open_end"),
        ({"open_end": 1}, GraphError, "open_end=1; expected True or False"),
        ({"lengths": 3, "penalty": 1.0}, InputError, r"lengths is 3; expected a pair \(n_a, n_b\)"),
        ({"x": np.zeros(3)}, InputError, "theta and a series were given"),
        ({"penalty": np.zeros((2, 2)), "lengths": ([3, 3, 3], 3)}, InputError, "expected shapes that broadcast"),
    ],
)
def test_bad_options_are_named(options, error, message):
    with pytest.raises(error, match=message):
        dtw_value(COST, **options)


def test_missing_arguments_are_named():
    with pytest.raises(InputError, match="y is missing; expected theta, or both series"):
        dtw_value(x=np.zeros(3))
    with pytest.raises(InputError, match="z is missing"):
        dtw_hvp(COST)
    with pytest.raises(InputError, match=r"theta\['cost'\]\[0, 0\] is nan"):
        dtw_value(np.full((3, 3), np.nan), penalty=1.0)


def test_the_default_call_is_dtw_grid():
    """No option: the graph of `dtw_grid`, whose golden results tests/test_golden.py holds."""
    dag = dagdp.compile(dagdp.graphs.dtw_grid(8, 9))
    assert dtw_value(COST) == dagdp.dp_value(dag, COST, minimize=True)
    assert dtw_value(COST, steps="symmetric1", open_end=False) == dtw_value(COST)
