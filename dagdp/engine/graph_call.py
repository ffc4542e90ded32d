"""A call of one graph: its arguments checked, and its plan."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dagdp import pool
from dagdp.compiled.dag import SMALL, CompiledDAG
from dagdp.engine.call import Call
from dagdp.engine.faults import raise_first_fault
from dagdp.engine.infeasible import refuses
from dagdp.engine.inputs import Options, Shape, Weights, arrange, batch_of, checked, collect, real_type, terminal_shape
from dagdp.engine.plan import (
    PARTS,
    GraphPlan,
    PathEnds,
    Plan,
    batches_of,
    lanes_of,
    ranges,
    tables_of,
)
from dagdp.lanes.rows import ROW_BYTES
from dagdp.omega import Negentropy, Omega

DEFAULT = Negentropy(1.0)  # to make one takes a tenth of a small call


@dataclass(eq=False)
class OneGraph(Plan):
    """The plan of calls of one graph: gradients are an array or a dict, faults are named in the user's arrays."""

    def in_form_of_theta(self, arrays: list[NDArray[Any]]) -> Any:
        made = [array.astype(dtype, copy=False) for array, dtype in zip(arrays, self.theta.dtypes, strict=True)]
        return dict(zip(self.names, made, strict=True)) if self.theta.keyed else made[0]

    def raise_faults(self, number: int, weights: list[Weights], given: tuple[Any, Any], terminals: PathEnds) -> None:
        dag, (starts, ends, _) = self.graphs[number].dag, terminals
        for what, own, sign in zip(("theta", "z"), weights, self.signs, strict=False):
            raise_first_fault(dag, own, ends, what, lowest(what, self.real), float(sign), None, starts)


def lowest(what: str, real: Any) -> float:
    """The lowest sound entry: of theta, times the sign, -inf; of z the lowest finite number."""
    return -np.inf if what == "theta" else float(np.finfo(real).min)


def checked_call(dag: Any, theta: Any, z: Any, omega: Omega | None, options: Options) -> Call:
    """The call of a function of `dagdp.functions`, all arguments checked."""
    _, start, end, on_infeasible, threads = options
    chosen = checked(dag, DEFAULT if omega is None else omega, threads)
    keyed, arrays, batches = collect(dag, theta)
    z_keyed, z_arrays, z_batches = (False, [], []) if z is None else collect(dag, z, "z")
    batch = batch_of(batches, z_batches, terminal_shape(start, end, dag))
    real = real_type(arrays + z_arrays)
    weights = [arrange(keyed, arrays, batches, batch, real)]
    terminals = PathEnds(*dag.terminals(start, end, batch))
    items = terminals.ends.size
    if threads is None:
        threads = 1 if dag.num_edges * items < SMALL else pool.available()
    refuse = refuses(on_infeasible)
    if z is not None:
        weights.append(arrange(z_keyed, z_arrays, z_batches, batch, real))
    graph = _graph_plan(dag, chosen, weights, batch, terminals, int(threads))
    plan = OneGraph(
        omega=chosen,
        names=tuple(potential.name for potential in dag.potentials),
        theta=weights[0].form,
        z=None if z is None else weights[1].form,
        batch=batch,
        graphs=[graph],
        shape=batch,
        parts=len(graph.batches) if items else 0,
        minimize=bool(options.minimize),
        threads=int(threads),
        refuse=refuse,
    )
    return Call(plan, weights, (theta, z), plan.terminals)


def _graph_plan(
    dag: CompiledDAG, omega: Omega, weights: list[Weights], batch: Shape, terminals: PathEnds, threads: int
) -> GraphPlan:
    """Levels are tied for rows of samples only. With shared blocks the ranges do not depend on the threads."""
    form, items = weights[0].form, terminals.ends.size
    one_row = [own.form.shared if batch else ~own.form.shared for own in weights]  # of a single item all are
    tied = omega.solver == "exponential" and dag.ties_levels(one_row)
    lanes = ROW_BYTES // form.real().itemsize if tied else lanes_of(dag, items, form.real)
    cuts = ranges(items, lanes, PARTS if form.shared.any() else threads)
    return GraphPlan(
        dag=dag,
        real=form.real,
        omega=omega,
        lanes=lanes,
        tied=tied,
        keeps=dag.stores_weights(form.shared),
        batches=batches_of(dag, omega, cuts, lanes),
        tables=tables_of(dag.entry_counts.tolist(), one_row),
        terminals=terminals,
    )
