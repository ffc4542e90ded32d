"""Prefetches: they load cache lines that will be read or written soon and that the processor does not foresee."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from dagdp.lanes.rows import ROW_BYTES

FAR = 1 << 17  # elements of an array from which on prefetches pay: it no longer fits the near caches


def _prefetch(builder: Any, pointer: Any) -> None:
    """LLVM's prefetch of one cache line: for writing, to be kept near, of data."""
    byte, number = ir.IntType(8).as_pointer(), ir.IntType(32)
    what = ir.FunctionType(ir.VoidType(), [byte, number, number, number])
    prefetch = cgutils.get_or_insert_function(builder.module, what, "llvm.prefetch.p0i8")
    builder.call(prefetch, [builder.bitcast(pointer, byte), *(number(how) for how in (1, 3, 1))])


@intrinsic
def prefetch_row(typing: Any, array: Any, at: Any) -> Any:
    """Prefetch the row at `at`."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        source = context.make_array(signature.args[0])(context, builder, arguments[0])
        _prefetch(builder, builder.gep(source.data, [arguments[1]]))
        return context.get_dummy_value()

    return types.void(array, types.intp), generate


@intrinsic
def prefetch_tile(typing: Any, array: Any, at: Any, step: Any, rows: Any) -> Any:
    """Prefetch array[at + r*step + c] of the first `rows` rows of a tile; a row may straddle two lines."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        source = context.make_array(signature.args[0])(context, builder, arguments[0])
        kind = arguments[1].type
        size = ROW_BYTES * 8 // signature.args[0].dtype.bitwidth
        last = builder.sub(arguments[3], ir.Constant(kind, 1))
        for r in range(size):
            number = ir.Constant(kind, r)
            real = builder.select(builder.icmp_signed("<", number, last), number, last)
            first = builder.gep(source.data, [builder.add(arguments[1], builder.mul(real, arguments[2]))])
            _prefetch(builder, first)
            _prefetch(builder, builder.gep(first, [ir.Constant(kind, size - 1)]))
        return context.get_dummy_value()

    return types.void(array, types.intp, types.intp, types.intp), generate


@intrinsic
def prefetch_column(typing: Any, array: Any, at: Any, step: Any, rows: Any) -> Any:
    """Prefetch array[at + r*step] of the first `rows` rows."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        source = context.make_array(signature.args[0])(context, builder, arguments[0])
        kind = arguments[1].type
        last = builder.sub(arguments[3], ir.Constant(kind, 1))
        for r in range(ROW_BYTES * 8 // signature.args[0].dtype.bitwidth):
            number = ir.Constant(kind, r)
            real = builder.select(builder.icmp_signed("<", number, last), number, last)
            _prefetch(builder, builder.gep(source.data, [builder.add(arguments[1], builder.mul(real, arguments[2]))]))
        return context.get_dummy_value()

    return types.void(array, types.intp, types.intp, types.intp), generate


@intrinsic
def prefetch_listed(typing: Any, array: Any, listed: Any, start: Any, shift: Any, count: Any) -> Any:
    """Prefetch array[listed[start + k] + shift] for k < count, up to a row; nothing where `count` is below 1.

    -1 may be listed: a prefetch reads nothing.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        source = context.make_array(signature.args[0])(context, builder, arguments[0])
        places = context.make_array(signature.args[1])(context, builder, arguments[1])
        kind = arguments[2].type
        zero = ir.Constant(kind, 0)
        with builder.if_then(builder.icmp_signed(">", arguments[4], zero)):
            last = builder.sub(arguments[4], ir.Constant(kind, 1))
            for k in range(ROW_BYTES * 8 // signature.args[0].dtype.bitwidth):
                number = ir.Constant(kind, k)
                real = builder.select(builder.icmp_signed("<", number, last), number, last)
                place = builder.load(builder.gep(places.data, [builder.add(arguments[2], real)]))
                place = builder.sext(place, kind) if place.type != kind else place
                _prefetch(builder, builder.gep(source.data, [builder.add(place, arguments[3])]))
        return context.get_dummy_value()

    return types.void(array, listed, types.intp, types.intp, types.intp), generate
