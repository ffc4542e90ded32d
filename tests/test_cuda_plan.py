"""The plan of graphs for device kernels: it lists each graph by itself, in the order of ties, with all its readers."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from cases import GRAPHS, random_hypergraph

import dagdp
from dagdp.graphs import dtw_grid, trellis
from dagdp.kernels.cuda.plan.device_plan import device_plan
from dagdp.kernels.cuda.records import COLUMNS, Column

ALL = {**GRAPHS, "hyperedges": lambda: random_hypergraph((3, 4, 3), 6)}


class Listed:
    """One graph of a plan, read as kernels read it."""

    def __init__(self, plan, row):
        self.plan, self.columns = plan, {column: int(plan.table[row][column]) for column in Column}
        self.nodes = self.columns[Column.NODES]
        self.levels = self.array(Column.LEVEL_PTR, self.columns[Column.LEVELS] + 1)

    def array(self, column, count, block=0, stride=0):
        first = self.columns[column] + block * stride
        return self.plan.plan[first : first + count].astype(int)

    def incoming(self, column, block=0):
        """[nodes] a list of the numbers of the edges into each node."""
        ptr = self.array(Column.IN_PTR, self.nodes + 1)
        stride = self.columns[Column.EDGES]
        whole = self.array(column, stride, block, stride)
        return [whole[a:b].tolist() for a, b in itertools.pairwise(ptr)]

    def outgoing(self, column, block=0):
        ptr = self.array(Column.OUT_PTR, self.nodes + 1)
        stride = self.columns[Column.OUT_EDGES]
        whole = self.array(column, stride, block, stride)
        return [whole[a:b].tolist() for a, b in itertools.pairwise(ptr)]

    def of_nodes(self, column, block):
        return self.array(column, self.nodes, block, self.plan.nodes)


def rows_of(plan):
    return [Listed(plan, row) for row in range(plan.graphs)]


def single(name):
    dag = dagdp.compile(ALL[name]())
    return dag, rows_of(device_plan(dag))[0]


@pytest.mark.parametrize("name", ALL)
def test_incoming_edges_stand_in_the_order_of_ties(name):
    dag, listed = single(name)
    edges, parents = listed.incoming(Column.EDGE), listed.incoming(Column.IN_PARENT)
    for node in range(dag.num_nodes):
        own = np.flatnonzero(dag.children == node)
        own = own[np.argsort(dag.slots[own])]
        assert edges[node] == dag.edges[own].tolist()
        assert parents[node] == dag.parents[own].tolist()
    assert listed.levels.tolist() == dag.wiring.incoming.levels.tolist()
    assert listed.columns[Column.END] == dag.end


@pytest.mark.parametrize("name", ALL)
def test_outgoing_edges_are_those_that_come_in(name):
    """Each edge leaves its first parent once, and its second parent once."""
    dag, listed = single(name)
    children, slots = listed.outgoing(Column.OUT_CHILD), listed.outgoing(Column.OUT_SLOT)
    found = sorted(
        (node, c, s) for node in range(dag.num_nodes) for c, s in zip(children[node], slots[node], strict=True)
    )
    expected = list(zip(dag.parents.tolist(), dag.children.tolist(), dag.slots.tolist(), strict=True))
    if dag.seconds is not None:
        pairs = np.flatnonzero(dag.seconds >= 0)
        again = (dag.seconds[pairs], dag.children[pairs], dag.slots[pairs])
        expected += list(zip(*(one.tolist() for one in again), strict=True))
        others = listed.outgoing(Column.OUT_OTHER)
        assert sum(other >= 0 for row in others for other in row) == 2 * pairs.size
    assert found == sorted(expected)


@pytest.mark.parametrize("name", ALL)
def test_every_entry_has_its_readers(name):
    """On an edge, on a node, or in the list of readers: each entry's readers are the edges that read it."""
    dag, listed = single(name)
    plan, sizes = listed.plan, np.cumsum([0, *dag.entry_counts])
    read = np.zeros(plan.entries, int)
    for k, potential in enumerate(dag.graph.potentials()):
        index = np.asarray(potential.index)
        live = dag.edges[dag.edges >= 0]
        if k in dag.hoisted:
            pairs = {
                (int(index[e]), int(c))
                for e, c in zip(dag.edges, dag.children, strict=True)
                if e >= 0 and index[e] >= 0
            }
            np.add.at(read, [sizes[k] + entry for entry, _ in pairs], 1)
        else:
            np.add.at(read, sizes[k] + index[live][index[live] >= 0], 1)
    assert plan.unread == bool((read == 0).any())
    assert plan.readers == bool((read > 1).any())
    targets = [t for block in range(plan.edge_blocks) for row in listed.outgoing(Column.OUT_TARGET, block) for t in row]
    targets += [t for block in range(plan.node_blocks) for t in listed.of_nodes(Column.NODE_TARGET, block)]
    assert sorted(t for t in targets if t >= 0) == np.flatnonzero(read == 1).tolist()
    count = listed.columns[Column.MULTIPLE]
    ptr = listed.array(Column.READ_PTR, count + 1)
    assert listed.array(Column.READ_ENTRY, count).tolist() == np.flatnonzero(read > 1).tolist()
    assert np.diff(ptr).tolist() == read[read > 1].tolist()


@pytest.mark.parametrize("name", ALL)
def test_the_ring_holds_what_both_passes_read(name):
    dag, listed = single(name)
    levels, ring = listed.levels, listed.plan.ring
    level = np.searchsorted(levels, np.arange(dag.num_nodes), side="right") - 1
    seconds = dag.parents if dag.seconds is None else np.where(dag.seconds >= 0, dag.seconds, dag.parents)
    for tails in (dag.parents, seconds):
        assert (levels[level[dag.children] + 1] - tails <= ring).all()
        assert (dag.children - levels[level[tails]] < ring).all()
    assert ring & (ring - 1) == 0


GRAPHS_OF_BATCH = [trellis(3, 2), dtw_grid(3, 4), trellis(5, 2), dtw_grid(1, 1)]


def test_a_batch_lists_each_graph_as_if_it_were_alone():
    batch = dagdp.compile_batch(list(GRAPHS_OF_BATCH), minimize=False)
    plan = device_plan(batch)
    rows = {listed.columns[Column.OUTPUT]: listed for listed in rows_of(plan)}
    work = [listed.columns[Column.NODES] for listed in rows_of(plan)]
    assert work == sorted(work, reverse=True)
    before = np.cumsum([0, *(graph.num_edges for graph in GRAPHS_OF_BATCH)])
    states = []
    for g, graph in enumerate(GRAPHS_OF_BATCH):
        dag, listed = dagdp.compile(graph), rows[g]
        alone = rows_of(device_plan(dag))[0]
        assert listed.nodes == alone.nodes
        assert listed.levels.tolist() == alone.levels.tolist()
        assert listed.columns[Column.END] == alone.columns[Column.END]
        assert listed.incoming(Column.IN_PARENT) == alone.incoming(Column.IN_PARENT)
        own = [[e + int(before[g]) for e in row] for row in alone.incoming(Column.EDGE)]
        assert listed.incoming(Column.EDGE) == own
        assert listed.outgoing(Column.OUT_CHILD) == alone.outgoing(Column.OUT_CHILD)
        first = listed.columns[Column.FIRST_NODE]
        states.append((first, first + listed.nodes))
    assert sorted(states)[0][0] == 0 and sorted(states)[-1][1] == plan.nodes
    assert all(a[1] == b[0] for a, b in zip(sorted(states), sorted(states)[1:], strict=False))


def test_a_batch_whose_graphs_have_no_path_keeps_their_places():
    lost = dagdp.Graph.from_edges([0, 2], [1, 3], starts=[0], ends=[3])
    batch = dagdp.compile_batch([trellis(3, 2), lost])
    rows = {listed.columns[Column.OUTPUT]: listed for listed in rows_of(device_plan(batch))}
    assert rows[1].columns[Column.END] == -1
    assert rows[0].columns[Column.END] >= 0


def test_a_plan_is_made_once_and_lives_as_long_as_its_graph():
    dag = dagdp.compile(trellis(3, 2))
    assert device_plan(dag) is device_plan(dag)
    assert device_plan(dag).table.shape == (1, COLUMNS)
