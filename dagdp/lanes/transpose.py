"""Tiles, a row's width a side, transposed in registers; and rows with a stride between their elements."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from dagdp.jit.bounds import CHECKED, check_range
from dagdp.lanes.rows import ROW_BYTES

I32 = ir.IntType(32)


def _pointers(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    """Pointers to dst[i] and src[j], and the size of an element in bytes; arrays stand before their indices."""
    pointers = []
    for place in (k for k, kind in enumerate(signature.args) if isinstance(kind, types.Array)):
        array = context.make_array(signature.args[place])(context, builder, arguments[place])
        index = [arguments[place + 1]]
        pointers.append(
            cgutils.get_item_pointer(context, builder, signature.args[place], array, index, wraparound=False)
        )
    return pointers, signature.args[0].dtype.bitwidth // 8


def _load(builder: Any, pointer: Any, align: int) -> Any:
    value = builder.load(pointer)
    value.align = align
    return value


def _check_rows(context: Any, builder: Any, signature: Any, arguments: Any, given: tuple[int, Any, int]) -> None:
    """In the checked build, check rows of an argument: given = (its place, the stride of its rows, their width).

    The last row is checked, and the first: strides are positive.
    """
    if not CHECKED:
        return
    place, (stride, rows), size = given[0], given[1], given[2]
    kind = signature.args[place]
    array = context.make_array(kind)(context, builder, arguments[place])
    first = arguments[place + 1]
    last = builder.add(first, builder.mul(stride, builder.sub(rows, rows.type(1))))
    for start in (first, last):
        check_range(context, builder, kind, array, start, size, "tile")


def _transposed(builder: Any, rows: list[Any], block: int) -> list[Any]:
    """The transposed tile. `block` is the number of elements in 16 bytes, which one instruction of any machine moves.

    Tiles of `block` are transposed within groups of 16 bytes by interleaving. Then the groups change places.
    """
    size = len(rows)

    def shuffled(a: Any, b: Any, lanes: list[int]) -> Any:
        return builder.shuffle_vector(a, b, ir.Constant(ir.VectorType(I32, size), lanes))

    def interleaved(half: int) -> list[int]:
        """Within each group, its lower or upper half of both rows in turn."""
        offset = half * block // 2
        return [group + offset + k // 2 + size * (k % 2) for group in range(0, size, block) for k in range(block)]

    made = []
    for first in range(0, size, block):
        group = rows[first : first + block]
        for _ in range(block.bit_length() - 1):
            pairs = [(group[r], group[r + block // 2]) for r in range(block // 2)]
            group = [shuffled(a, b, interleaved(half)) for a, b in pairs for half in (0, 1)]
        made += group
    for step in (4 // 2 * block, block):  # rows `step` apart exchange the groups that stand `step` elements apart
        for r in (r for r in range(size) if r & step == 0):
            a, b = made[r], made[r + step]
            made[r] = shuffled(a, b, [c if c & step == 0 else size + c - step for c in range(size)])
            made[r + step] = shuffled(a, b, [c + step if c & step == 0 else size + c for c in range(size)])
    return made


@intrinsic
def transpose_tile(typing: Any, dst: Any, i: Any, dst_step: Any, src: Any, j: Any, src_step: Any, rows: Any) -> Any:
    """dst[i + c*dst_step + r] = src[j + r*src_step + c] for rows r and columns c of one row's width.

    Beyond `rows` rows the last of them is read again.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        (to, source), align = _pointers(context, builder, signature, arguments)
        size = ROW_BYTES // align
        vector = ir.VectorType(context.get_value_type(signature.args[0].dtype), size)
        number = [ir.Constant(arguments[2].type, r) for r in range(size)]
        last = builder.sub(arguments[6], number[1])
        real = [builder.select(builder.icmp_signed("<", r, last), r, last) for r in number]
        _check_rows(context, builder, signature, arguments, (0, (arguments[2], arguments[2].type(size)), size))
        _check_rows(context, builder, signature, arguments, (3, (arguments[5], builder.add(real[-1], number[1])), size))

        def row(pointer: Any, step: Any, r: Any) -> Any:
            return builder.bitcast(builder.gep(pointer, [builder.mul(step, r)]), vector.as_pointer())

        tile = [_load(builder, row(source, arguments[5], r), align) for r in real]
        tile = _transposed(builder, tile, 16 // align)
        for c in range(size):
            builder.store(tile[c], row(to, arguments[2], number[c])).align = align
        return context.get_dummy_value()

    return types.void(dst, types.intp, types.intp, src, types.intp, types.intp, types.intp), generate


@intrinsic
def load_strided(typing: Any, dst: Any, i: Any, src: Any, j: Any, step: Any, rows: Any) -> Any:
    """The row dst[i : i + width] from src[j + r*step], one element a sample; beyond `rows` the last is read again."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        (to, source), align = _pointers(context, builder, signature, arguments)
        size = ROW_BYTES // align
        kind = ir.VectorType(context.get_value_type(signature.args[0].dtype), size)
        made = ir.Constant(kind, ir.Undefined)
        number = [ir.Constant(arguments[4].type, r) for r in range(size)]
        last = builder.sub(arguments[5], number[1])
        real = [builder.select(builder.icmp_signed("<", r, last), r, last) for r in number]
        _check_rows(context, builder, signature, arguments, (0, (arguments[4], number[1]), size))
        _check_rows(context, builder, signature, arguments, (2, (arguments[4], builder.add(real[-1], number[1])), 1))
        for r in range(size):
            value = _load(builder, builder.gep(source, [builder.mul(arguments[4], real[r])]), align)
            made = builder.insert_element(made, value, ir.Constant(I32, r))
        builder.store(made, builder.bitcast(to, kind.as_pointer())).align = align
        return context.get_dummy_value()

    return types.void(dst, types.intp, src, types.intp, types.intp, types.intp), generate


@intrinsic
def store_strided(typing: Any, dst: Any, i: Any, src: Any, j: Any, step: Any, replace: Any) -> Any:
    """dst[i + r*step] += the r-th element of the row of src at j, or = it (`replace`). All are read before a store."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        (to, source), align = _pointers(context, builder, signature, arguments)
        size = ROW_BYTES // align
        number = arguments[4].type
        _check_rows(context, builder, signature, arguments, (0, (arguments[4], number(size)), 1))
        _check_rows(context, builder, signature, arguments, (2, (arguments[4], number(1)), size))
        kind = ir.VectorType(context.get_value_type(signature.args[0].dtype), size)
        row = _load(builder, builder.bitcast(source, kind.as_pointer()), align)
        places = [builder.gep(to, [builder.mul(arguments[4], ir.Constant(number, r))]) for r in range(size)]
        elements = [builder.extract_element(row, ir.Constant(I32, r)) for r in range(size)]
        with builder.if_else(context.cast(builder, arguments[5], signature.args[5], types.boolean)) as (new, more):
            with new:
                for place, element in zip(places, elements, strict=True):
                    builder.store(element, place).align = align
            with more:
                old = [_load(builder, place, align) for place in places]
                for place, element, before in zip(places, elements, old, strict=True):
                    builder.store(builder.fadd(before, element), place).align = align
        return context.get_dummy_value()

    return types.void(dst, types.intp, src, types.intp, types.intp, types.boolean), generate
