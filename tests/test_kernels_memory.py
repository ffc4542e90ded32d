"""The layout of a launch's memory: arrays lie apart, on cache lines, and the kernel finds the planned sizes."""

from __future__ import annotations

import itertools

import pytest
from cases import GRAPHS
from kernel_texts import compiled, form, launch_memory
from test_special_stored_weights import scattered

import dagdp
from dagdp.graphs import dtw_grid, linear_chain, trellis
from dagdp.kernels.cpu import memory
from dagdp.kernels.cpu.memory import Passes, Sizes, addresses_size, layout, rows_of_edges
from dagdp.kernels.cpu.records import Variant

PASSES = [Passes(*flags) for flags in itertools.product((False, True), repeat=3) if flags[0] or not flags[2]]


def sizes(given, dag) -> Sizes:
    """The sizes in a layout, by name."""
    return Sizes(*layout(given, dag.wiring, dag.most_parents)[1][1::2].tolist())


@pytest.mark.parametrize("passes", PASSES, ids=lambda p: "".join("nty"[k] * f for k, f in enumerate(p)) or "value")
@pytest.mark.parametrize("name", GRAPHS)
def test_arrays_lie_apart_on_cache_lines(name, passes):
    dag = dagdp.compile(GRAPHS[name]())
    for lanes, itemsize in ((1, 8), (8, 8), (1, 4), (16, 4)):
        given = form(dag, lanes, passes=passes, itemsize=itemsize)
        size, table = layout(given, dag.wiring, dag.most_parents)
        offsets, counts = table[::2], table[1::2]
        assert (offsets % given.row == 0).all() and (counts >= 0).all()
        assert (offsets[1:] >= offsets[:-1] + counts[:-1]).all()
        assert size == offsets[-1] + -(-counts[-1] // given.row) * given.row + given.row, "a row more, to be aligned"


@pytest.mark.specialised
def test_a_layout_has_what_the_passes_need():
    dag, grid = dagdp.compile(trellis(4, 3)), dagdp.compile(dtw_grid(9, 9))
    value, gradient = sizes(form(dag, passes=Passes()), dag), sizes(form(dag), dag)
    assert value.bar == value.bar_dot == value.chunk_flows == value.v_dot == 0 < value.v_hi
    assert gradient.bar == gradient.v_hi > 0 == gradient.bar_dot
    assert gradient.kappa == 0, "κ is 1 under the closed form"
    assert sizes(form(dag, closed_form=False, newton=True), dag).kappa == gradient.v_hi
    hessian = sizes(form(dag, passes=Passes(True, True, True)), dag)
    assert hessian.bar_dot == hessian.bar == hessian.v_dot == hessian.c and hessian.edge_directions > 0
    pushed = sizes(form(grid, passes=Passes(True, True, True), scaled=True), grid)
    assert pushed.c == 0 == pushed.kappa and 0 < pushed.bar < pushed.v_hi, "a window of ē, and no c, where it pushes"
    assert pushed.edge_potentials == pushed.chunk_potentials == 0 < pushed.node_potentials


@pytest.mark.specialised
def test_stored_weights_of_one_sample_have_memory_of_their_own():
    dag = dagdp.compile(scattered())
    assert dag.wiring.incoming.reader.size and dag.wiring.incoming.slot_entries.size
    stored = Variant(None, True, True, None)
    edges = int(dag.wiring.incoming.edges[-1])
    assert sizes(form(dag, 1, variant=stored), dag).stored == edges + 8
    assert sizes(form(dag, 8, variant=stored), dag).stored == 0
    plain, in_order = (sizes(form(dag, 8, variant=v), dag) for v in (Variant(None, None, True, None), stored))
    assert in_order.edge_potentials - plain.edge_potentials == 8 * edges, "a row for each edge, in edge order"


@pytest.mark.specialised
def test_matrices_are_padded_to_multiples_of_four():
    dag = dagdp.compile(linear_chain(6, 5))
    tied = sizes(form(dag, variant=Variant(True, None, True, True)), dag)
    assert dag.wiring.tied.shapes.tolist() == [[5, 5]]
    assert tied.matrix_a == tied.matrix_flow == 8 * 5 + 8 and tied.matrix_z == 0
    assert tied.matrix_columns == tied.matrix_rows == 2 * memory.STEPS * 8 * 8 and tied.matrix_sums == 3 * 8 * 8
    assert sizes(form(dag), dag).matrix_a == 0


def test_kernels_find_what_was_planned():
    dag = dagdp.compile(dtw_grid(9, 9))
    given = form(dag, passes=Passes(True, True, True))
    block, addresses, table = launch_memory(dag, given)
    names = {name: getattr(memory, name.upper()) for name in Sizes._fields}
    assert sorted(names.values()) == list(range(len(names)))

    @compiled
    def size_of(block, table, position):
        scratch = memory.aligned(block)
        return memory.array_of(scratch, table, position).shape[0], scratch.ctypes.data % 64

    for name, position in names.items():
        found, misaligned = size_of(block, table, position)
        assert found == getattr(sizes(given, dag), name) and misaligned == 0
    assert addresses.size == addresses_size(dag.most_parents) == 4 * rows_of_edges(3) + memory.TIED_NUMBERS
