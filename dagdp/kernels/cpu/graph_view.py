"""The wiring of a graph inside a kernel, found by the addresses of its arrays (compiled/index_arrays.py).

A part of it is one pointer, whose arrays are looked up where they are named. As a tuple of arrays it was a hundred
arguments of every function that it was handed to, and a third of the time that kernels took to compile.
"""

from __future__ import annotations

import itertools
from typing import Any

from llvmlite import ir
from numba import types
from numba.core.typing.templates import AttributeTemplate
from numba.extending import infer_getattr, intrinsic, lower_getattr_generic, models, register_model

from dagdp.compiled.index_arrays import Hoisted, Incoming, Outgoing, Tied, Wiring
from dagdp.jit.decorators import inlined
from dagdp.lanes.views import array_at

_SIZES = [len(part._fields) for part in (Incoming, Outgoing, Hoisted, Tied, Outgoing, Incoming)]
FIRST = Wiring(*itertools.accumulate([0, *_SIZES[:-1]]))  # type: ignore[arg-type]
INCOMING, OUTGOING, HOISTED, TIED, FREE, PASSING = FIRST
LISTED = types.Array(types.int32, 1, "C")


class Part(types.Type):
    """A part of the wiring, by the NamedTuple that says what its arrays are called."""

    def __init__(self, fields: tuple[str, ...], name: str) -> None:
        self.fields = fields
        super().__init__(f"part({name})")


@register_model(Part)
class _PartModel(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: Part) -> None:
        super().__init__(manager, kind, ir.IntType(64).as_pointer())


@infer_getattr
class _Arrays(AttributeTemplate):
    key = Part

    def generic_resolve(self, kind: Part, name: str) -> Any:
        return LISTED if name in kind.fields else None


@lower_getattr_generic(Part)
def _array(context: Any, builder: Any, kind: Part, part: Any, name: str) -> Any:
    place = ir.Constant(ir.IntType(64), 2 * kind.fields.index(name))
    return array_at(context, builder, LISTED, part, place)


@intrinsic
def part_of(typing: Any, table: Any, first: Any, kind: Any) -> Any:
    """The part of the wiring whose arrays stand in `table` from the array `first` on."""
    named = kind.instance_class

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        numbers = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        return builder.gep(numbers, [builder.shl(arguments[1], arguments[1].type(1))])

    return Part(named._fields, named.__name__)(table, types.intp, kind), generate


@inlined
def forward_wires(table: Any, first: int) -> Any:
    """(incoming, hoisted, tied), of which `first` says whether v is kept of all nodes (INCOMING) or few (PASSING)."""
    return part_of(table, first, Incoming), part_of(table, HOISTED, Hoisted), part_of(table, TIED, Tied)


@inlined
def backward_wires(table: Any) -> Any:
    """(outgoing, free)."""
    return part_of(table, OUTGOING, Outgoing), part_of(table, FREE, Outgoing)
