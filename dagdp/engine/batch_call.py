"""A call of a batch of different graphs: its arguments checked, and its plan."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dagdp import pool
from dagdp.compiled.dag import EVERY_START, SMALL
from dagdp.compiled.layout import NUMPY, Form
from dagdp.compiler.batch import CompiledBatch
from dagdp.compiler.merge import MergedGraph
from dagdp.engine.call import Call
from dagdp.engine.faults import raise_first_fault
from dagdp.engine.graph_call import lowest
from dagdp.engine.infeasible import refuses
from dagdp.engine.inputs import (
    Options,
    Shape,
    Weights,
    arrange,
    batch_of,
    check_carried,
    checked_options,
    collect,
    real_type,
    refuse_start,
)
from dagdp.engine.plan import PARTS, GraphPlan, PathEnds, Plan, batches_of, lanes_of, ranges, tables_of
from dagdp.omega import Omega


@dataclass(eq=False, kw_only=True)
class ManyGraphs(Plan):
    """The plan of calls of a batch of graphs: gradients have the layout of theta, faults are named graph by graph."""

    compiled: CompiledBatch
    form: Form  # of theta

    def in_form_of_theta(self, arrays: list[NDArray[Any]]) -> Any:
        return self.compiled.layout.unpack(self.form, arrays, NUMPY)

    def raise_faults(self, number: int, weights: list[Weights], given: tuple[Any, Any], terminals: PathEnds) -> None:
        raise_faults_of_graphs(self.compiled, number, weights, given, self.signs, self.batch)


def raise_faults_of_graphs(
    compiled: CompiledBatch,
    number: int,
    weights: Sequence[Weights],
    given: Sequence[Any],
    signs: Sequence[Any],
    batch: Shape,
) -> None:
    """Raise InputError for the first entry out of range that a path of a graph in merged graph `number` reads, if any.

    weights : theta, and z if there is one, packed.  given : theta and z as the user gave them.  signs : of each.
    batch : the batch dimensions of the call.
    """
    merged, real = compiled.merged[number], weights[0].form.real
    for g in np.flatnonzero(merged.ends >= 0).tolist():
        g += merged.first
        dag, end = compiled.alone[g], compiled.own_number(merged, g)
        joint = end == dag.graph.num_nodes
        ends = np.full(math.prod(batch), dag.end if joint else dag.rank[end], np.int32)
        for what, values, packed, sign in zip(("theta", "z"), given, weights, signs, strict=False):
            keyed, arrays, batches = collect(dag, compiled.layout.of_graph(values, packed.given, g))
            label = f"{what}[{g}]" if isinstance(values, list | tuple) else f"graph {g}'s {what}"
            own = arrange(keyed, arrays, batches, batch, real)
            own = own._replace(form=own.form._replace(own=packed.form.own))
            raise_first_fault(dag, own, ends, what, lowest(what, real), float(sign), label)


def checked_call(batch: CompiledBatch, theta: Any, z: Any, omega: Omega | None, options: Options) -> Call:
    """The call of a function of `dagdp.functions`, all arguments checked."""
    refuse_start(options.start)
    chosen, end, threads = checked_options(omega, options.threads), options.end, options.threads
    batch = batch if end is None else batch.ending(end)
    form, arrays, shapes = batch.layout.pack(theta, "theta", NUMPY)
    z_form, z_arrays, z_shapes = (form, [], []) if z is None else batch.layout.pack(z, "z", NUMPY)
    for what, named, own in (("theta", form.named, shapes), ("z", z_form.named, z_shapes)):
        if named:
            check_carried(own, what, [part.name for part in batch.layout.sections])
    shape = batch_of(shapes, z_shapes, ())
    real = real_type(arrays + z_arrays)
    items = math.prod(shape)
    if threads is None:
        threads = 1 if batch.num_edges * items < SMALL else pool.available()
    weights = [arrange(form.named, arrays, shapes, shape, real)]
    if z is not None:
        weights.append(arrange(z_form.named, z_arrays, z_shapes, shape, real))
    plan = ManyGraphs(
        omega=chosen,
        names=tuple(part.name for part in batch.layout.sections),
        theta=weights[0].form,
        z=None if z is None else weights[1].form,
        batch=shape,
        graphs=[_graph_plan(batch, merged, chosen, weights, items) for merged in batch.merged],
        shape=(*shape, len(batch)),
        parts=PARTS,
        minimize=bool(options.minimize),
        threads=int(threads),
        refuse=refuses(options.on_infeasible),
        compiled=batch,
        form=form,
    )
    return Call(plan, weights, (theta, z), plan.terminals)


def _graph_plan(
    batch: CompiledBatch, merged: MergedGraph, omega: Omega, weights: list[Weights], items: int
) -> GraphPlan:
    """Ranges of items are the same for any number of threads."""
    dag, form, graphs = merged.dag, weights[0].form, merged.last - merged.first
    cuts = [tuple(part.offsets[[merged.first, merged.last]].tolist()) for part in batch.layout.sections]
    shared = [own.form.shared for own in weights]
    lanes = lanes_of(dag, items, form.real)
    ends = np.tile(merged.ends, items)
    return GraphPlan(
        dag=dag,
        real=form.real,
        omega=omega,
        lanes=lanes,
        tied=omega.solver == "exponential" and dag.ties_levels(shared),
        keeps=dag.stores_weights(form.shared),
        batches=batches_of(dag, omega, ranges(items, lanes, PARTS), lanes, graphs),
        tables=tables_of([b - a for a, b in cuts], shared),
        terminals=PathEnds(EVERY_START, ends, bool((ends < 0).any())),
        columns=(merged.first, merged.last),
        cuts=cuts,
    )
