"""From arguments to a checked call: its plan is made once for a form, and found again."""

from __future__ import annotations

from typing import Any

from dagdp.compiled.dag import CompiledDAG
from dagdp.compiler.batch import CompiledBatch
from dagdp.engine import batch_call, graph_call
from dagdp.engine.call import Call
from dagdp.engine.forms import form_of, found, remember
from dagdp.engine.inputs import Options
from dagdp.engine.plan import PathEnds
from dagdp.omega import Omega


def prepare(dag: Any, theta: Any, z: Any, omega: Omega | None, options: Options) -> Call:
    """The call of a function of `dagdp.functions` on a compiled graph or batch of graphs, all arguments checked.

    Checking a small call takes longer than running it, and most small calls are repeated. So the plan is stored with
    the graph, by the call's form (shapes, dtypes and options). `start` and `end` are checked in every call.
    """
    known = form = None
    if type(dag) is CompiledDAG or _storable(dag, options):
        form = form_of(theta, z, omega, options)
        known = None if form is None else found(dag.calls, form)
    if known is not None:
        weights = [known.theta.filled(known.names, theta)]
        if z is not None:
            weights += [known.z.filled(known.names, z)]
        terminals = known.terminals
        if options.end is not None or options.start is not None:
            terminals = [PathEnds(*dag.terminals(options.start, options.end, known.batch))]
        return Call(known, weights, (theta, z), terminals)
    several = isinstance(dag, CompiledBatch)
    call = (batch_call if several else graph_call).checked_call(dag, theta, z, omega, options)
    if form is not None and call.plan.items > 0 and (several or call.plan.threads == 1):
        remember(dag.calls, form, call.plan)
    return call


def _storable(dag: Any, options: Options) -> bool:
    """Whether a batch of graphs is called with its own ends, and no potential is shared by its graphs."""
    if not isinstance(dag, CompiledBatch) or options.start is not None or options.end is not None:
        return False
    return all(part.shared is None for part in dag.layout.sections)
