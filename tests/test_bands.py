"""Levels read together, and v kept for a window of levels only."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
from cases import combinations, one_of_each_solver_and_type, unproved
from hypothesis import assume, given
from hypothesis import strategies as st

from dagdp import (
    Graph,
    HardMax,
    Negentropy,
    SquaredL2,
    compile,
    dp_grad,
    dp_jvp,
    dp_jvp_and_hvp,
    dp_value,
    dp_value_and_grad,
)
from dagdp.compiler.node_potentials import BAND_LEVELS, BAND_NODES, cut_bands, sorted_in_bands
from dagdp.compiler.value_window import floors, window
from dagdp.graphs import dtw_grid, linear_chain

widths = st.lists(st.integers(1, 300), min_size=2, max_size=120)


def starts(widths):
    return np.concatenate([[0], np.cumsum(widths)])


@given(widths=widths)
def test_bands_cover_the_levels_and_are_long_enough(widths):
    level_ptr = starts(widths)
    bands = cut_bands(level_ptr)
    assert bands[0] == 0 and bands[-1] == len(widths)
    lengths, nodes = np.diff(bands), np.diff(level_ptr[bands])
    assert (lengths[:-1] >= BAND_LEVELS).all() and (nodes[:-1] >= BAND_NODES).all()


@given(widths=widths, seed=st.integers(0, 1000))
def test_every_reader_stands_once_by_band_and_entry(widths, seed):
    level_ptr = starts(widths)
    bands = cut_bands(level_ptr)
    entries = np.random.default_rng(seed).integers(-1, 50, level_ptr[-1])
    ptr, nodes = sorted_in_bands(entries, 50, level_ptr, bands)
    assert sorted(nodes) == np.flatnonzero(entries >= 0).tolist()
    for band, (first, last) in enumerate(itertools.pairwise(ptr)):
        assert (np.diff(entries[nodes[first:last]]) >= 0).all()
        assert (level_ptr[bands[band]] <= nodes[first:last]).all() and (
            nodes[first:last] < level_ptr[bands[band + 1]]
        ).all()


@given(widths=st.lists(st.integers(1, 9), min_size=30, max_size=90), reach=st.integers(1, 4), seed=st.integers(0, 99))
def test_no_level_takes_the_place_of_one_that_is_still_read(widths, reach, seed):
    level_ptr = starts(widths)
    levels = len(widths)
    ahead = np.random.default_rng(seed).integers(1, reach + 1, levels)
    last_reader = np.minimum(np.arange(levels) + ahead, levels - 1)
    place = window(level_ptr, last_reader)
    assume(place is not None)
    for level in range(levels):
        taken = np.zeros(place[-1], int)
        for alive in [older for older in range(level) if last_reader[older] >= level] + [level]:
            taken[place[alive] : place[alive] + widths[alive]] += 1
        assert taken.sum() == sum(widths[a] for a in range(level) if last_reader[a] >= level) + widths[level]
        assert taken.max() == 1


@given(widths=st.lists(st.integers(1, 300), min_size=20, max_size=90), seed=st.integers(0, 99))
def test_no_edge_comes_from_below_its_bands_floor(widths, seed):
    level_ptr, levels = starts(widths), len(widths)
    last_reader = np.minimum(np.arange(levels) + np.random.default_rng(seed).integers(0, 9, levels), levels - 1)
    bands = cut_bands(level_ptr)
    for floor, (first, last) in zip(floors(level_ptr, last_reader, bands), itertools.pairwise(bands), strict=True):
        read = [level for level in range(last) if last_reader[level] >= first]
        assert floor == level_ptr[min([first, *read])]


def test_nothing_is_moved_where_it_saves_little():
    assert window(starts([5, 5, 5, 5]), np.array([3, 3, 3, 3])) is None
    wide = compile(Graph.from_edges([0, 0, 1, 2], [1, 2, 3, 3]))
    assert wide.wiring.window is wide.wiring.incoming


@pytest.mark.specialised
@combinations(
    one_of_each_solver_and_type,
    batch=[(), (3,), (37,)],
    dtype=["float32", "float64"],
    omega=[HardMax(), Negentropy(0.5), SquaredL2(0.5)],
)
def test_the_window_changes_no_bit(batch, dtype, omega):
    rng = np.random.default_rng(1)
    dag = compile(dtw_grid(40, 33))
    assert dag.wiring.window.place[-1] < dag.num_nodes / 4
    theta = rng.random((*batch, 40, 33)).astype(dtype)
    end = 1 + rng.integers(1, 40, batch) * 33 + rng.integers(1, 33, batch)
    value, path = dp_value_and_grad(dag, theta, omega, minimize=True, end=end)
    np.testing.assert_array_equal(dp_value(dag, theta, omega, minimize=True, end=end), value)
    z = rng.normal(size=theta.shape).astype(dtype)
    slope = dp_jvp(dag, theta, z, omega, minimize=True, end=end)
    np.testing.assert_allclose(slope, (path * z).sum((-1, -2)), rtol=0, atol=1e-4 if dtype == "float32" else 1e-12)


@pytest.mark.parametrize("reach", [1, 70])
@pytest.mark.parametrize("items", [16, 21])
def test_flows_of_several_bands(items, reach, monkeypatch):
    """ē is kept for a band at a time; edges from far below, and ends in several bands, are met all the same."""
    rng, width, levels = np.random.default_rng(reach), 25, 300
    nodes = 1 + np.arange(levels * width).reshape(levels, width)
    near = [(nodes[t - 1], np.roll(nodes[t], shift)) for t in range(1, levels) for shift in (0, 3)]
    far = [(nodes[t - reach][:4], nodes[t][:4]) for t in range(reach, levels)]
    parents, children = np.concatenate([(np.zeros(width, int), nodes[0]), *near, *far], axis=1)
    size = levels * width
    graph = Graph.from_edges(parents, children, ends=nodes[-1, :1], potentials={None: ((size,), children - 1)})
    theta, z = rng.normal(size=(2, items, size))
    ends = rng.choice(nodes[100:].ravel(), items)
    ends[0] = nodes[-1, 0]
    found = []
    for dag in (compile(graph), unproved(graph, monkeypatch)):
        for end in (None, ends):
            found += [*dp_value_and_grad(dag, theta, end=end), *dp_jvp_and_hvp(dag, theta, z, end=end)]
    for ours, known in zip(found[:8], found[8:], strict=True):
        np.testing.assert_allclose(ours, known, rtol=1e-9, atol=1e-11)


@pytest.mark.specialised
def test_a_chain_keeps_room_for_three_steps():
    dag = compile(linear_chain(300, 5))
    assert "v of 15 nodes at a time for the value alone" in dag.explain()
    rng = np.random.default_rng(0)
    theta = {p.name: rng.normal(size=p.shape) for p in dag.potentials}
    assert dp_value(dag, theta) == dp_value_and_grad(dag, theta)[0]


def peak_rise(work) -> int:
    """Bytes by which `work` raises this process's peak of resident memory."""
    status, reset = Path("/proc/self/status"), Path("/proc/self/clear_refs")
    if not reset.exists():
        pytest.skip("needs Linux's /proc to read the peak of memory")
    reset.write_text("5")
    read = lambda key: int(status.read_text().split(key)[1].split()[0]) * 1024  # noqa: E731
    before = read("VmRSS:")
    work()
    return read("VmHWM:") - before


@pytest.mark.specialised
def test_memory_is_the_window_for_values_and_the_nodes_for_gradients():
    def call(function, dag, size):
        theta = np.ones((32, size, size), np.float32)
        return theta, lambda: function(dag, theta, minimize=True, threads=1)

    large, small = compile(dtw_grid(500, 500)), compile(dtw_grid(40, 40))
    state = large.num_nodes * 16 * 4  # one number a node for the 16 samples worked on together
    rises = {}
    for function in (dp_value, dp_grad):
        call(function, small, 40)[1]()  # kernels are loaded; a large call would leave memory with malloc
        theta, work = call(function, large, 500)
        rises[function] = peak_rise(work)
    assert rises[dp_value] < state / 2  # measured: under 0.01
    assert rises[dp_grad] < theta.nbytes + 6 * state  # v (two numbers), κ, the cost, ē
