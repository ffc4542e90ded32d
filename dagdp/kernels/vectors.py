"""Rows of 64 bytes as one vector each, and arrays without owners: what Numba's own language cannot say.

Every function here writes LLVM's code for one step; loops over these steps are in rows.py.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numba.np.arrayobj import populate_array

ROW_BYTES = 64


def _pointers(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    """Pointers to dst[i] and src[j], and the size of an element; arrays stand before their indices."""
    pointers = []
    for place in (k for k, kind in enumerate(signature.args) if isinstance(kind, types.Array)):
        array = context.make_array(signature.args[place])(context, builder, arguments[place])
        index = [arguments[place + 1]]
        pointers.append(
            cgutils.get_item_pointer(context, builder, signature.args[place], array, index, wraparound=False)
        )
    return pointers, signature.args[0].dtype.bitwidth // 8


def _vectors(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    """The same as pointers to whole rows."""
    pointers, align = _pointers(context, builder, signature, arguments)
    vector = ir.VectorType(context.get_value_type(signature.args[0].dtype), ROW_BYTES // align)
    return [builder.bitcast(pointer, vector.as_pointer()) for pointer in pointers], align


def _load(builder: Any, pointer: Any, align: int) -> Any:
    value = builder.load(pointer)
    value.align = align
    return value


def _uncounted(context: Any, builder: Any, kind: Any, value: Any) -> Any:
    """`value` with its arrays' owners forgotten."""
    if isinstance(kind, types.Array):
        array = context.make_array(kind)(context, builder, value)
        array.meminfo = cgutils.get_null_value(array.meminfo.type)
        array.parent = cgutils.get_null_value(array.parent.type)
        return array._getvalue()
    if isinstance(kind, types.BaseTuple):
        for k, item in enumerate(kind.types):
            lent = _uncounted(context, builder, item, builder.extract_value(value, k))
            value = builder.insert_value(value, lent, k)
    return value


@intrinsic
def lend(typing: Any, value: Any) -> Any:
    """An array, or a tuple of some, without reference counts; for what a caller keeps alive.

    Numba counts, atomically, at every read of a field and every call: a sixth of the time of small levels.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return _uncounted(context, builder, signature.args[0], arguments[0])

    return value(value), generate


@intrinsic
def part(typing: Any, array: Any, start: Any, count: Any) -> Any:
    """array[start : start + count], lent."""
    made = array.copy(ndim=1, layout="C")

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        source = context.make_array(signature.args[0])(context, builder, arguments[0])
        view = context.make_array(signature.return_type)(context, builder)
        size = context.get_constant(types.intp, signature.args[0].dtype.bitwidth // 8)
        populate_array(
            view,
            data=builder.gep(source.data, [arguments[1]]),
            shape=[arguments[2]],
            strides=[size],
            itemsize=size,
            meminfo=cgutils.get_null_value(context.get_value_type(types.voidptr)),
        )
        return view._getvalue()

    return made(array, types.intp, types.intp), generate


@intrinsic
def pick(typing: Any, array: Any, i: Any) -> Any:
    """array[i] for i >= 0: Python's negative indices cost three instructions a read."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        source = context.make_array(signature.args[0])(context, builder, arguments[0])
        pointer = builder.gep(source.data, [arguments[1]])
        return context.unpack_value(builder, signature.args[0].dtype, pointer)

    return array.dtype(array, types.intp), generate


@intrinsic
def row_length(typing: Any, array: Any) -> Any:
    """Elements of a row, known when the kernel is compiled (an array's itemsize is not)."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return context.get_constant(types.intp, ROW_BYTES * 8 // signature.args[0].dtype.bitwidth)

    return types.intp(array), generate


@intrinsic
def move_vector(typing: Any, dst: Any, i: Any, src: Any, j: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        (to, source), align = _vectors(context, builder, signature, arguments)
        builder.store(_load(builder, source, align), to).align = align
        return context.get_dummy_value()

    return types.void(dst, types.intp, src, types.intp), generate


@intrinsic
def add_vector(typing: Any, dst: Any, i: Any, src: Any, j: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        (to, source), align = _vectors(context, builder, signature, arguments)
        total = builder.fadd(_load(builder, to, align), _load(builder, source, align))
        builder.store(total, to).align = align
        return context.get_dummy_value()

    return types.void(dst, types.intp, src, types.intp), generate


@intrinsic
def spread_vector(typing: Any, dst: Any, i: Any, value: Any) -> Any:
    """A row grows by one number."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        (to,), align = _vectors(context, builder, signature, arguments)
        kind = ir.VectorType(context.get_value_type(signature.args[0].dtype), ROW_BYTES // align)
        index = ir.Constant(ir.IntType(32), 0)
        one = builder.insert_element(ir.Constant(kind, ir.Undefined), arguments[2], index)
        zeros = ir.Constant(ir.VectorType(ir.IntType(32), ROW_BYTES // align), None)
        row = builder.shuffle_vector(one, ir.Constant(kind, ir.Undefined), zeros)
        builder.store(builder.fadd(_load(builder, to, align), row), to).align = align
        return context.get_dummy_value()

    return types.void(dst, types.intp, dst.dtype), generate


@intrinsic
def total_of_vector(typing: Any, src: Any, j: Any) -> Any:
    """The sum of a row, by halves: always in the same order."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        (source,), align = _vectors(context, builder, signature, arguments)
        row, size = _load(builder, source, align), ROW_BYTES // align
        while size > 1:
            size //= 2
            low, high = (ir.Constant(ir.VectorType(ir.IntType(32), size), [*range(a, a + size)]) for a in (0, size))
            row = builder.fadd(builder.shuffle_vector(row, row, low), builder.shuffle_vector(row, row, high))
        return builder.extract_element(row, ir.Constant(ir.IntType(32), 0))

    return src.dtype(src, types.intp), generate


@intrinsic
def turn_vectors(typing: Any, dst: Any, i: Any, dst_step: Any, src: Any, j: Any, src_step: Any, rows: Any) -> Any:
    """A square of one row's width: src[j + r*src_step + c] goes to dst[i + c*dst_step + r].

    Beyond `rows` rows the last of them is read again.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        (to, source), align = _pointers(context, builder, signature, arguments)
        size = ROW_BYTES // align
        vector = ir.VectorType(context.get_value_type(signature.args[0].dtype), size)

        def row(pointer: Any, step: Any, r: Any) -> Any:
            return builder.bitcast(builder.gep(pointer, [builder.mul(step, r)]), vector.as_pointer())

        number = [ir.Constant(arguments[2].type, r) for r in range(size)]
        last = builder.sub(arguments[6], number[1])
        real = [builder.select(builder.icmp_signed("<", r, last), r, last) for r in number]
        rows = [_load(builder, row(source, arguments[5], r), align) for r in real]
        half = ir.Constant(ir.VectorType(ir.IntType(32), size), [k // 2 + size * (k % 2) for k in range(size)])
        rest = [size // 2 + k // 2 + size * (k % 2) for k in range(size)]
        other = ir.Constant(ir.VectorType(ir.IntType(32), size), rest)
        for _ in range(size.bit_length() - 1):  # log2 perfect shuffles
            pairs = [(rows[r], rows[r + size // 2]) for r in range(size // 2)]
            rows = [builder.shuffle_vector(a, b, mask) for a, b in pairs for mask in (half, other)]
        for c in range(size):
            builder.store(rows[c], row(to, arguments[2], number[c])).align = align
        return context.get_dummy_value()

    return types.void(dst, types.intp, types.intp, src, types.intp, types.intp, types.intp), generate


@intrinsic
def collect_vector(typing: Any, dst: Any, i: Any, src: Any, j: Any, step: Any, rows: Any) -> Any:
    """A row of dst from src[j + r*step], one element a sample; beyond `rows` the last is read again."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        (to, source), align = _pointers(context, builder, signature, arguments)
        size = ROW_BYTES // align
        kind = ir.VectorType(context.get_value_type(signature.args[0].dtype), size)
        made = ir.Constant(kind, ir.Undefined)
        number = [ir.Constant(arguments[4].type, r) for r in range(size)]
        last = builder.sub(arguments[5], number[1])
        for r in range(size):
            real = builder.select(builder.icmp_signed("<", number[r], last), number[r], last)
            value = _load(builder, builder.gep(source, [builder.mul(arguments[4], real)]), align)
            made = builder.insert_element(made, value, ir.Constant(ir.IntType(32), r))
        builder.store(made, builder.bitcast(to, kind.as_pointer())).align = align
        return context.get_dummy_value()

    return types.void(dst, types.intp, src, types.intp, types.intp, types.intp), generate


@intrinsic
def hand_out_vector(typing: Any, dst: Any, i: Any, src: Any, j: Any, step: Any) -> Any:
    """dst[i + r*step] grows by the r-th element of a row of src. All are read before one is written."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        (to, source), align = _pointers(context, builder, signature, arguments)
        size = ROW_BYTES // align
        kind = ir.VectorType(context.get_value_type(signature.args[0].dtype), size)
        row = _load(builder, builder.bitcast(source, kind.as_pointer()), align)
        places = [builder.gep(to, [builder.mul(arguments[4], ir.Constant(arguments[4].type, r))]) for r in range(size)]
        old = [_load(builder, place, align) for place in places]
        for r in range(size):
            element = builder.extract_element(row, ir.Constant(ir.IntType(32), r))
            builder.store(builder.fadd(old[r], element), places[r]).align = align
        return context.get_dummy_value()

    return types.void(dst, types.intp, src, types.intp, types.intp), generate
