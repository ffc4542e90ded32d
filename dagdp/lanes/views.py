"""Views of arrays, elements and progressions in compiled code, without Numba's checks and reference counts."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numba.np.arrayobj import populate_array

from dagdp.jit.bounds import CHECKED, check_range, first_element
from dagdp.lanes.rows import ROW_BYTES


def made_view(context: Any, builder: Any, kind: Any, data: Any, count: Any, first: Any = None) -> Any:
    """An array of `count` elements from a pointer on, without a reference count.

    first : the index of the first element that may be accessed, for the checked build (jit/bounds.py); default 0.
    """
    array = context.make_array(kind)(context, builder)
    itemsize = context.get_constant(types.intp, kind.dtype.bitwidth // 8)
    owner = cgutils.get_null_value(context.get_value_type(types.voidptr))
    stride = builder.add(itemsize, first) if CHECKED and first is not None else itemsize
    populate_array(array, data=data, shape=[count], strides=[stride], itemsize=itemsize, meminfo=owner)
    return array._getvalue()


@intrinsic
def view(typing: Any, array: Any, start: Any, count: Any) -> Any:
    """array[start : start + count]; the caller keeps the array alive."""
    made = array.copy(ndim=1, layout="C")

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        source = context.make_array(signature.args[0])(context, builder, arguments[0])
        check_range(context, builder, signature.args[0], source, arguments[1], arguments[2], "view")
        return made_view(context, builder, made, builder.gep(source.data, [arguments[1]]), arguments[2])

    return made(array, types.intp, types.intp), generate


@intrinsic
def offset_view(typing: Any, array: Any, offset: Any) -> Any:
    """array[offset:]; a negative offset gives an array whose element -offset is the first of `array`."""
    made = array.copy(ndim=1, layout="C")

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        source = context.make_array(signature.args[0])(context, builder, arguments[0])
        count = builder.sub(builder.extract_value(source.shape, 0), arguments[1])
        first = None
        if CHECKED:
            first = builder.sub(first_element(builder, source, made.dtype.bitwidth // 8), arguments[1])
            zero = first.type(0)
            first = builder.select(builder.icmp_signed(">", first, zero), first, zero)
        return made_view(context, builder, made, builder.gep(source.data, [arguments[1]]), count, first)

    return made(array, types.intp), generate


def rows_on_stack(count: int) -> Any:
    """An intrinsic that makes `count` rows on the stack of its caller, of the dtype of the array that it is given.

    LLVM knows that no other array overlaps them, and keeps them in registers in loops of known length.
    """

    @intrinsic
    def rows(typing: Any, like: Any) -> Any:
        made = like.copy(ndim=1, layout="C")

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            number = context.get_value_type(made.dtype)
            size = count * ROW_BYTES // (made.dtype.bitwidth // 8)
            with builder.goto_entry_block():
                memory = builder.alloca(ir.ArrayType(number, size))
            memory.align = ROW_BYTES
            first = builder.bitcast(memory, number.as_pointer())
            return made_view(context, builder, made, first, context.get_constant(types.intp, size))

        return made(like), generate

    return rows


def array_at(context: Any, builder: Any, kind: Any, numbers: Any, k: Any) -> Any:
    """The array whose address is numbers[k] and whose length is numbers[k + 1].

    Both loads are marked invariant, so that LLVM does not repeat them after a store.
    """
    address, length = (builder.load(builder.gep(numbers, [builder.add(k, k.type(n))])) for n in range(2))
    for number in (address, length):
        number.set_metadata("invariant.load", builder.module.add_metadata([]))
    pointer = context.get_value_type(types.CPointer(kind.dtype))
    return made_view(context, builder, kind, builder.inttoptr(address, pointer), length)


@intrinsic
def get(typing: Any, array: Any, i: Any) -> Any:
    """array[i] for i >= 0, integers as int64. Python's negative indices would cost three instructions a read."""
    kind = types.intp if isinstance(array.dtype, types.Integer) else array.dtype

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        source = context.make_array(signature.args[0])(context, builder, arguments[0])
        check_range(context, builder, signature.args[0], source, arguments[1], 1, "get")
        pointer = builder.gep(source.data, [arguments[1]])
        value = context.unpack_value(builder, signature.args[0].dtype, pointer)
        return context.cast(builder, value, signature.args[0].dtype, kind)

    return kind(array, types.intp), generate


@intrinsic
def get_invariant(typing: Any, numbers: Any, k: Any) -> Any:
    """numbers[k], int64, of an array that does not change during a launch: LLVM need not read it again after a store.

    Used for one sample. In loops over rows of samples LLVM keeps too many such values in registers (1.1 of the time).
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        source = context.make_array(signature.args[0])(context, builder, arguments[0])
        check_range(context, builder, signature.args[0], source, arguments[1], 1, "get_invariant")
        value = builder.load(builder.gep(source.data, [arguments[1]]))
        value.set_metadata("invariant.load", builder.module.add_metadata([]))
        return value

    return types.intp(numbers, types.intp), generate


@intrinsic
def width(typing: Any, array: Any) -> Any:
    """Elements of a row of the array's dtype, a constant for LLVM (an array's itemsize is none)."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return context.get_constant(types.intp, ROW_BYTES * 8 // signature.args[0].dtype.bitwidth)

    return types.intp(array), generate
