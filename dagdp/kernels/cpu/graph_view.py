"""The compiled graph inside a kernel, found by the addresses of its arrays (compiled/index_arrays.py).

A part of the graph is one pointer, and its arrays are looked up where they are named. As tuples of arrays they were a
hundred arguments of every function, and a third of the compile time.
"""

from __future__ import annotations

import itertools
from typing import Any

from llvmlite import ir
from numba import types
from numba.core.typing.templates import AttributeTemplate
from numba.extending import infer_getattr, intrinsic, lower_getattr_generic, models, register_model

from dagdp.compiled.index_arrays import COLUMNS, Hoisted, Incoming, Outgoing, Tied, Wiring
from dagdp.jit.decorators import inlined
from dagdp.kernels.cpu.records import Graph, Indices
from dagdp.lanes.views import array_at

_SIZES = [len(part._fields) for part in (Incoming, Outgoing, Hoisted, Tied, Outgoing, Incoming)]
#: The index of each part's first array in the table of addresses, by the parts' names.
FIRST_ARRAYS = Wiring(*itertools.accumulate([0, *_SIZES[:-1]]))  # type: ignore[arg-type]
TABLE_NUMBERS = 2 * sum(_SIZES)  # of the table: an address and a length for each array; the memory layout follows them
INCOMING, OUTGOING, HOISTED, TIED, UNTIED, WINDOW = FIRST_ARRAYS
INT32_ARRAY = types.Array(types.int32, 1, "C")


class GraphPart(types.Type):
    """Numba's type of a part of the graph, with the names of its arrays."""

    def __init__(self, fields: tuple[str, ...], name: str) -> None:
        self.fields = fields
        super().__init__(f"part({name})")


@register_model(GraphPart)
class _PartModel(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: GraphPart) -> None:
        super().__init__(manager, kind, ir.IntType(64).as_pointer())


@infer_getattr
class _Arrays(AttributeTemplate):
    key = GraphPart

    def generic_resolve(self, kind: GraphPart, name: str) -> Any:
        return INT32_ARRAY if name in kind.fields else None


@lower_getattr_generic(GraphPart)
def _array(context: Any, builder: Any, kind: GraphPart, part: Any, name: str) -> Any:
    place = ir.Constant(ir.IntType(64), 2 * kind.fields.index(name))
    return array_at(context, builder, INT32_ARRAY, part, place)


@intrinsic
def part_at(typing: Any, table: Any, first: Any, kind: Any) -> Any:
    """The part of the graph whose arrays stand in the table from the array `first` on."""
    named = kind.instance_class

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        numbers = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        return builder.gep(numbers, [builder.shl(arguments[1], arguments[1].type(1))])

    return GraphPart(named._fields, named.__name__)(table, types.intp, kind), generate


@intrinsic
def potential_array(typing: Any, table: Any, k: Any, like: Any) -> Any:
    """The array of the k-th potential in a table (`index_arrays.located`), of the dtype of `like`, array or number."""
    array = types.Array(like.dtype if isinstance(like, types.Array) else like, 1, "C")

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        numbers = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        place = builder.mul(arguments[1], arguments[1].type(COLUMNS))
        return array_at(context, builder, array, numbers, place)

    return array(table, types.intp, like), generate


@inlined
def forward_graph(table: Indices, incoming: int) -> Graph:
    """The parts that a forward pass reads. `incoming` is INCOMING, or WINDOW where v is kept for a window of levels."""
    return Graph(
        part_at(table, incoming, Incoming), None, None, part_at(table, HOISTED, Hoisted), part_at(table, TIED, Tied)
    )


@inlined
def whole_graph(table: Indices) -> Graph:
    """All parts."""
    return Graph(
        part_at(table, INCOMING, Incoming),
        part_at(table, OUTGOING, Outgoing),
        part_at(table, UNTIED, Outgoing),
        part_at(table, HOISTED, Hoisted),
        part_at(table, TIED, Tied),
    )
