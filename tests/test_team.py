"""Threads that share out the levels of one sample: when, and that nobody can tell from the results."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest
from cases import OPERATORS, dense, flat, from_threads, sinks
from test_powers import LIMITS

import dagdp
from dagdp import Graph, HardMax, InputError, Negentropy, SquaredL2, call, compiled, pool
from dagdp.call import prepare
from dagdp.graphs import dtw_grid, linear_chain, trellis
from dagdp.kernels.exchange import Batch
from dagdp.kernels.jit import helper, inner
from dagdp.kernels.kept import hold
from dagdp.kernels.lanes import load
from dagdp.kernels.room import team_numbers
from dagdp.kernels.team import LEAST_NODES, next_piece, places_in
from dagdp.run import local_weights


@pytest.fixture(autouse=True)
def teams_are_formed(monkeypatch):
    """As if there were cores for every team here (else members find each other off the core), and for small graphs."""
    monkeypatch.setattr(pool, "available", lambda: 8)
    monkeypatch.setattr(compiled, "SHARED_WIDTH", 384)


def layered(width: int, weighted_nodes: bool) -> Graph:
    """Wide levels, from each node three edges to some of the next; their weights, in no order, and their child's."""
    rng = np.random.default_rng(0)
    parents = np.repeat(np.arange(3 * width), 3)
    children = parents // width * width + width + rng.integers(0, width, parents.size)
    potentials = {"edge": ((parents.size,), rng.permutation(parents.size))}
    if weighted_nodes:
        potentials["node"] = ((3 * width,), children - width)
    return Graph.from_edges(parents, children, ends=sinks(parents, children), potentials=potentials)


WIDE = {
    "grid": lambda: dtw_grid(700, 650),
    "trellis": lambda: trellis(3, 600),
    "dense": lambda: dense(520, 2),
    "scattered": lambda: layered(1500, weighted_nodes=False),
    "two potentials": lambda: layered(900, weighted_nodes=True),
}


def random_weights(dag, dtype="float64", seed=0):
    rng = np.random.default_rng(seed)
    made = {p.name: rng.normal(size=p.shape).astype(dtype) for p in dag.potentials}
    return made.get(None, made)


def bits(dag, theta, z, omega, threads, **options):
    """Everything there is to ask, each as one vector."""
    options["threads"] = threads
    value, path = dagdp.dp_value_and_grad(dag, theta, omega, **options)
    slope, change = dagdp.dp_jvp_and_hvp(dag, theta, z, omega, **options)
    alone = dagdp.dp_value(dag, theta, omega, **options), dagdp.dp_jvp(dag, theta, z, omega, **options)
    return [np.ravel(value), flat(path), np.ravel(slope), flat(change), *map(np.ravel, alone)]


def same(ours, theirs):
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(a, b)


def members(dag, theta, threads=2, **options):
    return prepare(dag, theta, None, None, False, options.get("end"), threads).members


@pytest.mark.specialised
@pytest.mark.parametrize("name", WIDE)
def test_wide_levels_of_one_sample_are_shared_out(name, monkeypatch):
    dag = dagdp.compile(WIDE[name]())
    theta = random_weights(dag)
    most = dag.widest // LEAST_NODES
    assert most >= 2 and "threads   share out the levels" in dag.explain()
    assert members(dag, theta) == 2 and members(dag, theta, 7) == most, "no more than a level has work for"
    assert members(dag, theta, 1) == 1
    monkeypatch.setattr(call, "LEAST_NODES", 1)
    dag.calls.clear()
    assert members(dag, theta, 100) == 8, "no more than there are cores"
    two = {k: np.stack([a, a]) for k, a in theta.items()} if isinstance(theta, dict) else np.stack([theta, theta])
    assert members(dag, two) == 1, "each thread has a sample of its own"


@pytest.mark.specialised
def test_narrow_levels_and_tied_weights_are_not(monkeypatch):
    for graph in (dtw_grid(40, 400), trellis(50, 20), linear_chain(4, 600)):
        dag = dagdp.compile(graph)
        assert "threads" not in dag.explain() and members(dag, random_weights(dag)) == 1
    parents, children = WIDE["grid"]().edges()
    tied = Graph.from_edges(parents, children, potentials={"kind": ((5,), children % 5)})
    assert not dagdp.compile(tied).splits, "two members would add to one place of the gradient"
    monkeypatch.undo()
    assert not dagdp.compile(WIDE["grid"]()).splits and dagdp.compile(dtw_grid(1500, 1500)).splits


@pytest.mark.parametrize("name", WIDE)
@pytest.mark.parametrize("omega", OPERATORS, ids=repr)
def test_same_bits_with_any_number_of_threads(name, omega):
    dag = dagdp.compile(WIDE[name]())
    theta, z = random_weights(dag), random_weights(dag, seed=1)
    alone = bits(dag, theta, z, omega, 1)
    for threads in (2, 3, 6):
        same(bits(dag, theta, z, omega, threads), alone)


@pytest.mark.parametrize("name", WIDE)
def test_same_bits_in_float32_and_for_costs(name):
    dag = dagdp.compile(WIDE[name]())
    theta, z = random_weights(dag, "float32"), random_weights(dag, "float32", seed=1)
    for omega in (Negentropy(0.5), HardMax()):
        same(bits(dag, theta, z, omega, 3, minimize=True), bits(dag, theta, z, omega, 1, minimize=True))


def test_a_member_that_never_comes_is_missed_by_nobody(monkeypatch):
    """One after another: the first does everything, whichever it is, and the others find nothing to do."""
    dag = dagdp.compile(WIDE["grid"]())
    theta, z = random_weights(dag), random_weights(dag, seed=1)
    alone = bits(dag, theta, z, SquaredL2(0.5), 1)
    for order in (list, lambda items: list(items)[::-1]):
        monkeypatch.setattr(pool, "run", lambda work, items, threads, order=order: [work(m) for m in order(items)])
        same(bits(dag, theta, z, SquaredL2(0.5), 4), alone)


@pytest.mark.parametrize("dtype", LIMITS)
@pytest.mark.parametrize("reach", [0.99, 1.01])
@pytest.mark.parametrize("place", [(0, 0), (690, 5), (5, 640)], ids=str)
def test_powers_of_two_out_of_range_in_one_member_s_part(dtype, reach, place):
    """All members end, and begin anew without them, though only one has met what is out of range."""
    dag = dagdp.compile(WIDE["grid"]())
    theta, z = random_weights(dag, dtype), random_weights(dag, dtype, seed=1)
    theta["cost"][place] = reach * LIMITS[dtype]
    same(bits(dag, theta, z, Negentropy(1.0), 4), bits(dag, theta, z, Negentropy(1.0), 1))


@pytest.mark.parametrize("name", WIDE)
def test_a_bad_entry_is_named_whoever_reads_it(name):
    dag = dagdp.compile(WIDE[name]())
    for part in (0.4, 0.7, 0.99):
        theta = random_weights(dag)
        array = next(iter(theta.values())) if isinstance(theta, dict) else theta
        array[np.unravel_index(int(array.size * part), array.shape)] = np.nan
        with pytest.raises(InputError, match=r"nan"):
            dagdp.dp_grad(dag, theta, threads=4)


def test_an_end_before_the_last_level():
    """What lies behind it is not read; the nodes behind it get no gradient."""
    dag = dagdp.compile(dtw_grid(700, 650))
    theta = random_weights(dag)
    end = 1 + 600 * 650 + 500
    theta["cost"][650:] = np.nan
    for omega in (Negentropy(1.0), SquaredL2(1.0)):
        value, path = dagdp.dp_value_and_grad(dag, theta, omega, end=end, threads=3)
        want, edges = dagdp.dp_value_and_grad(dag, theta, omega, end=end, threads=1)
        assert value == want and np.isfinite(value)
        np.testing.assert_array_equal(path["cost"], edges["cost"])
        assert not path["cost"][650:].any()


def test_local_weights():
    dag = dagdp.compile(WIDE["grid"]())
    theta = random_weights(dag)
    np.testing.assert_array_equal(
        local_weights(dag, theta, Negentropy(1.0), threads=3), local_weights(dag, theta, Negentropy(1.0), threads=1)
    )


def test_teams_of_several_callers_at_once():
    """More members than threads of the pool: every team is done in the end."""
    dag = dagdp.compile(WIDE["grid"]())
    theta = random_weights(dag)
    exact = flat(dagdp.dp_grad(dag, theta, threads=1))
    found = from_threads(lambda: flat(dagdp.dp_grad(dag, theta, threads=3)))
    assert len(found) == 20 and all(np.array_equal(path, exact) for path in found)


@inner
def next_of_those(numbers, pieces, piece):
    return next_piece(places_in(numbers, Batch(0, 1, 1, 0, 1, None, None)), pieces, piece)


@helper
def take(numbers, pieces, piece):
    return next_of_those(numbers, pieces, piece)


@inner
def held_often(numbers, held, w, times):
    places = places_in(numbers, Batch(0, 1, 1, 0, 1, None, None))
    for k in range(times):
        hold(places, held, w, 64 * (k % 2), 3, load(w, k % 8))


@helper
def hold_often(numbers, held, w, times):
    held_often(numbers, held, w, times)


def test_nothing_is_written_back_behind_a_slot_s_last_edge():
    """There another member may be writing the next slot's."""
    numbers, held, w = np.zeros(64, np.int64), np.zeros(256, np.float32), np.arange(64, dtype=np.float32)
    counters = np.zeros(16, np.int64)
    numbers[team_numbers(numbers)] = counters.ctypes.data, 0, 0, 1, pool.YIELD, 0, 0
    hold_often(numbers, held, w, 1)
    other = threading.Thread(target=hold_often, args=(numbers, held, w, 200_000_000))
    other.start()
    lost = written = 0
    while other.is_alive():
        written += 1
        held[5] = written
        lost += held[5] != written
    other.join()
    assert written > 1000 and lost == 0
    assert held[:3].tolist() != [0, 0, 0] and held[64:67].tolist() != [0, 0, 0] and not held[6:64].any()


def test_who_waited_long_does_later_steps_alone():
    """A member that leaves its core with a piece in hand costs one wait, not one at each level."""
    counters, places = np.zeros(16, np.int64), [np.zeros(64, np.int64) for _ in range(2)]
    for member, own in enumerate(places):
        own[team_numbers(own)] = counters.ctypes.data, 0, member, 1, pool.YIELD, 0, 0
    assert [take(own, 2, -1) for own in places] == [0, 1]
    waiting = threading.Thread(target=take, args=(places[1], 2, 1))
    waiting.start()
    looking = time.process_time()
    while time.process_time() - looking < 0.3:  # that it waits for member 0; on a busy machine the clock runs ahead
        time.sleep(0.05)
    assert waiting.is_alive() and take(places[0], 2, 0) == 2, "the step is over when both pieces are done"
    waiting.join()
    assert [take(places[1], 2, -1), take(places[1], 2, 0), take(places[1], 2, 1)] == [0, 1, 2], "all of it at once"
    assert take(places[0], 2, -1) == 2, "nothing is left for the other"
    assert [take(own, 1, -1) for own in reversed(places[1:])] == [0], "and what only one does is done by one"
