"""A batch of different graphs against a loop over its graphs: values, gradients, Hessian products, and their forms."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from cases import GRAPHS, OPERATORS, combinations, graph_of, random_theta
from hypothesis import given
from hypothesis import strategies as st
from strategies import problems

import dagdp
from dagdp import Graph, HardMax, InputError, Negentropy, compile, compile_batch
from dagdp.compiler import batch as batch_module
from dagdp.graphs import dtw_grid, linear_chain

PLAIN = ["one edge", "parallel edges", "two starts, two ends", "dead ends", "wide", "trellis", "trellis, all"]
OWN_WEIGHTS = ["one edge", "parallel edges", "two starts, two ends", "dead ends", "wide"]
LENGTHS = (2, 5, 3)


@pytest.fixture(params=[1, 1 << 15], ids=["a union each", "one union"])
def union_edges(request, monkeypatch):
    monkeypatch.setattr(batch_module, "MERGED_EDGES", request.param)
    return request.param


def all_six(graph, theta, z, omega, **options):
    """Everything there is to ask of a graph, or of a batch of graphs."""
    value, path = dagdp.dp_value_and_grad(graph, theta, omega, **options)
    slope, change = dagdp.dp_jvp_and_hvp(graph, theta, z, omega, **options)
    np.testing.assert_array_equal(dagdp.dp_value(graph, theta, omega, **options), value)
    np.testing.assert_array_equal(dagdp.dp_jvp(graph, theta, z, omega, **options), slope)
    return value, path, slope, change


def weights(graphs, seed, batch=(), dtype="float64"):
    rng = np.random.default_rng(seed)
    return [random_theta(graph, rng, batch, dtype) for graph in graphs]


@combinations(
    lambda dtype, omega, **_: isinstance(omega, Negentropy) and dtype == "float64",
    batch=[(), (2, 3)],
    dtype=["float64", "float32"],
    omega=OPERATORS,
)
def test_a_batch_is_a_loop_over_its_graphs(batch, dtype, omega, union_edges):
    graphs, tolerance = [GRAPHS[name]() for name in PLAIN], 1e-12 if dtype == "float64" else 1e-5
    theta, z = weights(graphs, 0, batch, dtype), weights(graphs, 1, batch, dtype)
    value, path, slope, change = all_six(compile_batch(graphs), theta, z, omega, minimize=len(batch) > 0)
    assert value.shape == slope.shape == (*batch, len(graphs)) and value.dtype == slope.dtype == dtype
    for g, graph in enumerate(graphs):
        alone = all_six(compile(graph), theta[g], z[g], omega, minimize=len(batch) > 0)
        for ours, theirs in zip((value[..., g], path[g], slope[..., g], change[g]), alone, strict=True):
            assert ours.dtype == theirs.dtype and ours.shape == theirs.shape
            np.testing.assert_allclose(ours, theirs, rtol=tolerance, atol=tolerance)


@given(several=st.lists(problems(), min_size=1, max_size=6))
def test_random_graphs_with_forbidden_edges(several):
    """Rule 1: an infeasible graph has value -inf and gradient 0, and no other graph changes.

    The same bits, too, but for a graph without potentials on edges beside others that have some: alone it is computed
    in powers of two, which no one had promised. Hypothesis found one only when other constants in the package changed.
    """
    graphs, theta = [graph_of(edges) for edges, _ in several], [np.array(w, float) for _, w in several]
    batch = compile_batch(graphs)
    value, path = dagdp.dp_value_and_grad(batch, theta, Negentropy(0.7))
    for g, graph in enumerate(graphs):
        dag = compile(graph)
        alone, its_path = dagdp.dp_value_and_grad(dag, theta[g], Negentropy(0.7))
        alike = all(on_edges(union.dag) == on_edges(dag) for union in batch.merged)
        np.testing.assert_allclose(value[g], alone, rtol=0 if alike else 1e-13, atol=0 if alike else 1e-15)
        np.testing.assert_allclose(path[g], its_path, rtol=0 if alike else 1e-13, atol=0 if alike else 1e-15)


def on_edges(dag):
    """Whether any potential is read on edges."""
    return dag.wiring.incoming.potentials.size > 0


@pytest.mark.parametrize("batch", [(), (40,)], ids=str)
def test_one_array_is_the_list_side_by_side(batch, union_edges):
    """40 items run in rows of samples, where kernels move whole cache lines."""
    graphs = [GRAPHS[name]() for name in OWN_WEIGHTS]
    compiled = compile_batch(graphs)
    theta, z = weights(graphs, 0, batch), weights(graphs, 1, batch)
    listed = all_six(compiled, theta, z, Negentropy(0.5))
    flat = all_six(compiled, np.concatenate(theta, -1), np.concatenate(z, -1), Negentropy(0.5))
    for ours, theirs in zip(flat, listed, strict=True):
        theirs = np.concatenate(theirs, -1) if isinstance(theirs, list) else theirs
        np.testing.assert_array_equal(ours, theirs)
    for g, (a, b) in enumerate(zip(compiled.offsets[:-1], compiled.offsets[1:], strict=True)):
        np.testing.assert_array_equal(flat[1][..., a:b], listed[1][g])


@pytest.mark.parametrize("batch", [(), (3,)], ids=str)
def test_named_potentials_and_one_shared_by_all_graphs(batch):
    graphs = [linear_chain(T, 3) for T in LENGTHS]
    own = weights(graphs, 0, batch)
    common = {name: own[0][name] for name in ("transition", "start", "end")}
    own = [{"emission": rows["emission"], **common} for rows in own]
    theta = {"emission": [rows["emission"] for rows in own], **common}
    value, path = dagdp.dp_value_and_grad(compile_batch(graphs), own, Negentropy(0.7))
    shared_value, shared_path = dagdp.dp_value_and_grad(
        compile_batch(graphs, shared=["transition", "start", "end"]), theta, Negentropy(0.7)
    )
    np.testing.assert_array_equal(shared_value, value)
    for g, graph in enumerate(graphs):
        alone, its_path = dagdp.dp_value_and_grad(compile(graph), own[g], Negentropy(0.7))
        np.testing.assert_allclose(value[..., g], alone, rtol=1e-13)
        for name in its_path:
            np.testing.assert_allclose(path[g][name], its_path[name], atol=1e-12)
        np.testing.assert_array_equal(shared_path["emission"][g], path[g]["emission"])
    for name in common:
        np.testing.assert_allclose(shared_path[name], sum(rows[name] for rows in path), atol=1e-12)


@pytest.mark.parametrize("batch", [(), (40,)], ids=str)
def test_graphs_in_powers_of_two_and_beyond_them(batch, union_edges):
    """Some graphs, of some items, have |v|/γ that powers of two do not reach (see test_special_scaled.py)."""
    graphs = [dtw_grid(6, 7), dtw_grid(4, 3), dtw_grid(5, 5)]
    theta, z = weights(graphs, 0, batch, "float32"), weights(graphs, 1, batch, "float32")
    theta[1][(*(-1 for _ in batch), 0, 0)] = 1e7
    if batch:
        theta[0][3, 0, 0] = -1e7
    together = all_six(compile_batch(graphs), theta, z, Negentropy(1.0))
    for g, graph in enumerate(graphs):
        alone = all_six(compile(graph), theta[g], z[g], Negentropy(1.0))
        for ours, theirs in zip(together, alone, strict=True):
            own = ours[g] if isinstance(ours, list) else ours[..., g]
            np.testing.assert_allclose(own, theirs, rtol=1e-5, atol=1e-5)


def test_dict_of_flat_arrays():
    graphs = [linear_chain(T, 3) for T in LENGTHS]
    compiled, own = compile_batch(graphs), weights(graphs, 0)
    flat = {name: np.concatenate([rows[name].ravel() for rows in own]) for name in own[0]}
    value, path = dagdp.dp_value_and_grad(compiled, flat)
    np.testing.assert_array_equal(value, dagdp.dp_value(compiled, own))
    assert {name: array.shape for name, array in path.items()} == {name: array.shape for name, array in flat.items()}
    assert compiled.offsets["emission"].tolist() == [0, 6, 21, 30]


def test_a_shared_entry_that_no_edge_reads_may_hold_nan():
    step = {"step": (4, [0, 3])}
    graphs = [Graph.from_edges([0, 1], [1, 2], potentials=step), Graph.from_edges([0, 0], [1, 1], potentials=step)]
    value, path = dagdp.dp_value_and_grad(
        compile_batch(graphs, shared=["step"]), {"step": [1.0, np.nan, np.nan, 2.0]}, HardMax()
    )
    assert value.tolist() == [3.0, 2.0] and path["step"].tolist() == [1.0, 0.0, 0.0, 2.0]


@pytest.mark.parametrize("own", [(), (5,)], ids=["theta of one item", "z of one item"])
def test_weights_or_direction_without_batch_dimensions(own):
    graphs = [GRAPHS[name]() for name in OWN_WEIGHTS]
    compiled = compile_batch(graphs)
    theta, z = weights(graphs, 0, own), weights(graphs, 1, (5,) if own == () else ())
    _, _, slope, change = all_six(compiled, theta, z, Negentropy(0.7))
    spread = [[np.broadcast_to(a, (5, a.shape[-1])) for a in arrays] for arrays in (theta, z)]
    _, _, every, each = all_six(compiled, *spread, Negentropy(0.7))
    np.testing.assert_allclose(slope, every, atol=1e-12)
    for ours, theirs in zip(change, each, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-12)


def test_bits_do_not_depend_on_threads(monkeypatch):
    monkeypatch.setattr(batch_module, "MERGED_EDGES", 64)
    graphs = [GRAPHS[name]() for name in OWN_WEIGHTS] * 7
    compiled, theta, z = compile_batch(graphs), weights(graphs, 0), weights(graphs, 1)
    one, many = (all_six(compiled, theta, z, Negentropy(0.7), threads=threads) for threads in (1, 5))
    for ours, theirs in zip(one, many, strict=True):
        for a, b in zip(ours, theirs, strict=True):
            np.testing.assert_array_equal(a, b)


def test_an_end_for_each_graph(union_edges):
    """By name or number; None keeps the graph's own end."""
    named = Graph()
    for parent, child in ("ab", "ac", "bc", "cd"):
        named.add_edge(parent, child)
    graphs = [named, GRAPHS["wide"](), GRAPHS["two starts, two ends"](), GRAPHS["parallel edges"]()]
    compiled, theta = compile_batch(graphs), weights(graphs, 0)
    ends = ["c", 100, None, np.int64(1)]
    value, path = dagdp.dp_value_and_grad(compiled, theta, end=ends)
    for g, graph in enumerate(graphs):
        alone, its_path = dagdp.dp_value_and_grad(compile(graph), theta[g], end=ends[g])
        np.testing.assert_allclose(value[g], alone, rtol=1e-13)
        np.testing.assert_allclose(path[g], its_path, atol=1e-13)
    theta[0][3] = np.nan  # c -> d lies behind the end
    np.testing.assert_array_equal(dagdp.dp_value(compiled, theta, end=ends), value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t[:2], "theta is a list of 2; expected one entry for each of the 3 graphs"),
        (lambda t: [t[0], t[1][:4], t[2]], r"theta\[1\] has shape \(4,\); expected \[\*batch, 5\]"),
        (lambda t: np.zeros(8), r"theta has shape \(8,\); expected \[\*batch, 12\]"),
        (lambda t: [t[0], t[1][None], t[2]], r"theta\[1\] has batch dimensions \(1,\), that of graph 0 \(\)"),
        (lambda t: {"step": t}, "theta has keys, but the graphs name no potentials"),
        (lambda t: [t[0], t[1], np.array(["x"] * 6)], r"theta\[2\] has dtype"),
    ],
)
def test_weights_that_do_not_fit(change, message):
    graphs = [GRAPHS[name]() for name in ("one edge", "parallel edges", "two starts, two ends")]
    with pytest.raises(InputError, match=message):
        dagdp.dp_value(compile_batch(graphs), change(weights(graphs, 0)))


def test_a_bad_number_is_named_by_graph_and_edge(union_edges):
    graphs = [GRAPHS[name]() for name in OWN_WEIGHTS]
    compiled, theta, z = compile_batch(graphs), weights(graphs, 0), weights(graphs, 1)
    theta[4][7] = np.nan
    with pytest.raises(InputError, match=r"^theta\[4\]\[7\] is nan; expected a number"):
        dagdp.dp_value(compiled, theta)
    with pytest.raises(InputError, match=r"^graph 4's theta\[7\] is nan"):
        dagdp.dp_grad(compiled, np.concatenate(theta))
    theta[4][7], z[2][5] = 0.0, np.inf
    with pytest.raises(InputError, match=r"^z\[2\]\[5\] is inf; expected a finite direction"):
        dagdp.dp_hvp(compiled, theta, z)
    theta[3][5] = np.nan  # an edge on no path
    dagdp.dp_value(compiled, theta)


def test_bad_number_in_named_potentials():
    graphs = [linear_chain(T, 3) for T in LENGTHS]
    theta = weights(graphs, 0)
    theta[1]["emission"][2, 1] = np.inf
    with pytest.raises(InputError, match=r"theta\[1\]\['emission'\]\[2, 1\] is inf; expected less than infinity"):
        dagdp.dp_value(compile_batch(graphs), theta)


@pytest.mark.parametrize(
    ("end", "message"),
    [
        ([1], "expected a list with one node, or None, for each of the 2 graphs"),
        (1, "expected a list with one node"),
        ([None, 9], "end 9 is no node of graph 1"),
        ([None, 4], "end 4 of graph 1 leads to no end"),
    ],
)
def test_ends_that_do_not_fit(end, message):
    graphs = [GRAPHS[name]() for name in ("one edge", "dead ends")]
    with pytest.raises(InputError, match=message):
        dagdp.dp_value(compile_batch(graphs), weights(graphs, 0), end=end)


def test_functions_of_one_graph_say_so():
    graphs = [GRAPHS[name]() for name in ("one edge", "dead ends")]
    compiled, theta = compile_batch(graphs), weights(graphs, 0)
    for function in (dagdp.reference.dp_value, dagdp.reference.local_weights):
        with pytest.raises(InputError, match=r"takes one graph: call it for each of batch\.dags"):
            function(compiled, theta)
    with pytest.raises(InputError, match=r"loop over batch\.dags"):
        dagdp.dp_value(compiled, theta, backend="torch")


def test_what_calls_of_one_form_have_in_common_is_worked_out_once(union_edges):
    """And nothing of their arrays: other numbers, kinds of call and types in turn are as if never asked before."""
    graphs = [GRAPHS[name]() for name in OWN_WEIGHTS if name != "wide"]
    batch, rng = compile_batch(graphs), np.random.default_rng(0)
    size = batch.offsets[-1]
    for _ in range(2):
        for dtype in ("float32", "float64"):
            for minimize in (False, True):
                theta, z = rng.normal(size=(2, 3, size)).astype(dtype)
                ours = all_six(batch, theta, z, Negentropy(0.7), minimize=minimize)
                known = all_six(compile_batch(graphs), theta, z, Negentropy(0.7), minimize=minimize)
                for mine, fresh in zip(ours, known, strict=True):
                    np.testing.assert_array_equal(mine, fresh)
        assert len(batch.calls) == 8, "with and without a direction, two types, to minimise or not"
    dagdp.dp_value(batch, [theta[0, a:b] for a, b in itertools.pairwise(batch.offsets)])
    dagdp.dp_value(batch, theta, end=[None] * len(graphs))
    assert len(batch.calls) == 8, "lists and ends are looked at each time"
    with pytest.raises(InputError, match=rf"expected \[\*batch, {size}\]"):
        dagdp.dp_value(batch, theta[:, 1:])
    theta[1, 2] = np.nan
    with pytest.raises(InputError, match="is nan"):
        dagdp.dp_value(batch, theta, Negentropy(0.7))


def ctc(T: int, labels: list[int], classes: int, blank: int = 0) -> Graph:
    """Connectionist Temporal Classification: blanks between labels, each state stays, steps on, or skips a blank."""
    states = [blank, *(symbol for label in labels for symbol in (label, blank))]
    graph = Graph(starts=["start"], ends=["end"], potentials={"log_prob": (T, classes)})
    for s in (0, 1)[: len(states)]:
        graph.add_edge("start", (0, s), log_prob=(0, states[s]))
    for t in range(1, T):
        for s, symbol in enumerate(states):
            skip = s >= 2 and symbol != blank and symbol != states[s - 2]
            for source in [s, s - 1] + [s - 2] * skip:
                if source >= 0:
                    graph.add_edge((t - 1, source), (t, s), log_prob=(t, symbol))
    for s in range(max(0, len(states) - 2), len(states)):
        graph.add_edge((T - 1, s), "end")
    return graph


def test_ctc_targets_that_do_not_fit_are_infeasible_items_as_in_torch():
    """Too long, two equal labels in two frames, empty; the graph alone is an error that names the end."""
    targets, T, classes = [[1, 2], [1, 2, 3, 1], [1, 1], [], [3]], 2, 4
    logits = torch.randn(5, T, classes, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    log_prob = logits.log_softmax(-1).requires_grad_()
    graphs = [ctc(T, labels, classes) for labels in targets]
    for wrong in (1, 2):
        with pytest.raises(dagdp.GraphError, match=r"end 'end' is reached from no start \('start'\)"):
            dagdp.compile(graphs[wrong])
    batch = compile_batch(graphs)
    losses = -dagdp.dp_value(batch, list(log_prob))
    lengths = [len(labels) for labels in targets]
    flat = torch.tensor([label for labels in targets for label in labels])
    theirs = torch.nn.functional.ctc_loss(log_prob.transpose(0, 1), flat, [T] * 5, lengths, reduction="none")
    torch.testing.assert_close(losses, theirs)
    assert losses[[1, 2]].tolist() == [np.inf] * 2
    (gradient,) = torch.autograd.grad(losses.sum(), log_prob)
    assert torch.isfinite(gradient).all() and not gradient[[1, 2]].any()
    for b in (0, 3, 4):
        dag = dagdp.compile(graphs[b])
        np.testing.assert_array_equal(-gradient[b], dagdp.dp_grad(dag, log_prob[b].detach().numpy()))


def test_one_frame_of_ctc():
    """log 5 for five equal classes; its blank-first path cannot end, which is no error."""
    dag, theta = dagdp.compile(ctc(1, [1], 5)), np.full((1, 5), -np.log(5))
    assert dagdp.dp_value(dag, theta) == pytest.approx(-1.6094379124341, abs=1e-13)
