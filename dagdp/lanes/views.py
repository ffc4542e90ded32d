"""Arrays without owners, and squares of rows turned in registers: what Numba's own language cannot say."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numba.np.arrayobj import populate_array

from dagdp.compiled.index_arrays import COLUMNS
from dagdp.lanes.rows import ROW_BYTES

FAR = 1 << 17  # elements of an array, from which it is no longer near, and is asked ahead for


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


def _load(builder: Any, pointer: Any, align: int) -> Any:
    value = builder.load(pointer)
    value.align = align
    return value


def _view(context: Any, builder: Any, kind: Any, data: Any, count: Any) -> Any:
    """An array of `count` elements from a pointer on, of which nobody counts references."""
    view = context.make_array(kind)(context, builder)
    size = context.get_constant(types.intp, kind.dtype.bitwidth // 8)
    nobody = cgutils.get_null_value(context.get_value_type(types.voidptr))
    populate_array(view, data=data, shape=[count], strides=[size], itemsize=size, meminfo=nobody)
    return view._getvalue()


@intrinsic
def part(typing: Any, array: Any, start: Any, count: Any) -> Any:
    """array[start : start + count], lent."""
    made = array.copy(ndim=1, layout="C")

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        source = context.make_array(signature.args[0])(context, builder, arguments[0])
        return _view(context, builder, made, builder.gep(source.data, [arguments[1]]), arguments[2])

    return made(array, types.intp, types.intp), generate


@intrinsic
def behind(typing: Any, array: Any, skip: Any) -> Any:
    """array[skip:], lent; before it, too, where `skip` is negative."""
    made = array.copy(ndim=1, layout="C")

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        source = context.make_array(signature.args[0])(context, builder, arguments[0])
        count = builder.sub(builder.extract_value(source.shape, 0), arguments[1])
        return _view(context, builder, made, builder.gep(source.data, [arguments[1]]), count)

    return made(array, types.intp), generate


def rows_on_stack(count: int) -> Any:
    """A function that makes `count` rows of numbers like an array's, for as long as the function runs that asks.

    LLVM knows that no array reaches them, and keeps in registers what is put there and taken in loops of known length.
    """

    @intrinsic
    def rows(typing: Any, like: Any) -> Any:
        made = like.copy(ndim=1, layout="C")

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            number = context.get_value_type(made.dtype)
            size = count * ROW_BYTES // (made.dtype.bitwidth // 8)
            with builder.goto_entry_block():
                room = builder.alloca(ir.ArrayType(number, size))
            room.align = ROW_BYTES
            first = builder.bitcast(room, number.as_pointer())
            return _view(context, builder, made, first, context.get_constant(types.intp, size))

        return made(like), generate

    return rows


def array_at(context: Any, builder: Any, kind: Any, numbers: Any, k: Any) -> Any:
    """The array whose address is the k-th of `numbers`; its length comes behind. Nobody changes these: they need not be
    loaded again because something was stored."""
    address, length = (builder.load(builder.gep(numbers, [builder.add(k, k.type(n))])) for n in range(2))
    for number in (address, length):
        number.set_metadata("invariant.load", builder.module.add_metadata([]))
    pointer = context.get_value_type(types.CPointer(kind.dtype))
    return _view(context, builder, kind, builder.inttoptr(address, pointer), length)


@intrinsic
def lent_block(typing: Any, table: Any, k: Any, like: Any) -> Any:
    """The array of the k-th potential in `table` (see `index_arrays.located`), of numbers like these, or this one."""
    array = types.Array(like.dtype if isinstance(like, types.Array) else like, 1, "C")

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        numbers = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        place = builder.mul(arguments[1], arguments[1].type(COLUMNS))
        return array_at(context, builder, array, numbers, place)

    return array(table, types.intp, like), generate


@intrinsic
def pick(typing: Any, array: Any, i: Any) -> Any:
    """array[i] for i >= 0, integers as int64: Python's negative indices cost three instructions a read."""
    kind = types.intp if isinstance(array.dtype, types.Integer) else array.dtype

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        source = context.make_array(signature.args[0])(context, builder, arguments[0])
        pointer = builder.gep(source.data, [arguments[1]])
        value = context.unpack_value(builder, signature.args[0].dtype, pointer)
        return context.cast(builder, value, signature.args[0].dtype, kind)

    return kind(array, types.intp), generate


@intrinsic
def known(typing: Any, numbers: Any, k: Any) -> Any:
    """numbers[k], int64, which nobody changes while a kernel runs: it need not be read again after each store. Asked
    for where one sample's rows are; in loops over rows of samples LLVM holds too much of it (1.1 of the time)."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        source = context.make_array(signature.args[0])(context, builder, arguments[0])
        value = builder.load(builder.gep(source.data, [arguments[1]]))
        value.set_metadata("invariant.load", builder.module.add_metadata([]))
        return value

    return types.intp(numbers, types.intp), generate


@intrinsic
def rule(typing: Any, listed: Any, start: Any, step: Any) -> Any:
    """(listed, start, step) with both numbers int64, literals too: functions of rules are then compiled once."""
    kind = types.Tuple((listed, types.intp, types.intp))

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return context.make_tuple(builder, kind, arguments)

    return kind(listed, types.intp, types.intp), generate


@intrinsic
def row_length(typing: Any, array: Any) -> Any:
    """Elements of a row, known when the kernel is compiled (an array's itemsize is not)."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return context.get_constant(types.intp, ROW_BYTES * 8 // signature.args[0].dtype.bitwidth)

    return types.intp(array), generate


@intrinsic
def totals(typing: Any, a: Any, b: Any, c: Any, d: Any) -> Any:
    """The sums of the lanes of four rows, with the bits of `total`: their halves are added side by side."""

    def generate(context: Any, builder: Any, sig: Any, given: Any) -> Any:
        rows, width = list(given), sig.args[0].count
        while width > 1:
            width //= 2
            made = []
            for k in range(0, len(rows), 2):
                first, second = rows[k], rows[min(k + 1, len(rows) - 1)]
                lanes = first.type.count * (1 if first is second else 2)
                low, high = (
                    ir.Constant(
                        ir.VectorType(ir.IntType(32), lanes // 2),
                        [begin + lane for begin in range(half, lanes, 2 * width) for lane in range(width)],
                    )
                    for half in (0, width)
                )
                halves = (builder.shuffle_vector(first, second, mask) for mask in (low, high))
                made.append(builder.fadd(*halves))
            rows = made
        sums = [builder.extract_element(rows[0], ir.Constant(ir.IntType(32), n)) for n in range(4)]
        return context.make_tuple(builder, sig.return_type, sums)

    return types.UniTuple(a.dtype, 4)(a, b, c, d), generate


def _turned(builder: Any, rows: list[Any], block: int) -> list[Any]:
    """The transposed square, `block` being the elements of 16 bytes: what one instruction of any machine moves.

    Squares of `block` are transposed within pieces of 16 bytes by interleaving; then the pieces change places.
    """
    size = len(rows)

    def shuffled(a: Any, b: Any, picks: list[int]) -> Any:
        return builder.shuffle_vector(a, b, ir.Constant(ir.VectorType(ir.IntType(32), size), picks))

    def interleaved(half: int) -> list[int]:
        """Within each piece, its lower or upper half of both rows in turn."""
        offset = half * block // 2
        return [piece + offset + k // 2 + size * (k % 2) for piece in range(0, size, block) for k in range(block)]

    made = []
    for group in range(0, size, block):
        part = rows[group : group + block]
        for _ in range(block.bit_length() - 1):
            pairs = [(part[r], part[r + block // 2]) for r in range(block // 2)]
            part = [shuffled(a, b, interleaved(half)) for a, b in pairs for half in (0, 1)]
        made += part
    for step in (4 // 2 * block, block):  # rows `step` apart exchange the pieces that stand `step` elements apart
        for r in (r for r in range(size) if r & step == 0):
            a, b = made[r], made[r + step]
            made[r] = shuffled(a, b, [c if c & step == 0 else size + c - step for c in range(size)])
            made[r + step] = shuffled(a, b, [c + step if c & step == 0 else size + c for c in range(size)])
    return made


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
        rows = _turned(builder, rows, 16 // align)
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


def ask(builder: Any, pointer: Any) -> None:
    """Ask memory for a line that will be wanted soon, to be written."""
    byte, number = ir.IntType(8).as_pointer(), ir.IntType(32)
    what = ir.FunctionType(ir.VoidType(), [byte, number, number, number])
    ask = cgutils.get_or_insert_function(builder.module, what, "llvm.prefetch.p0i8")
    builder.call(ask, [builder.bitcast(pointer, byte), *(number(how) for how in (1, 3, 1))])  # write, kept near, data


@intrinsic
def expect_row(typing: Any, array: Any, at: Any) -> Any:
    """Ask memory for the row at `at`: it will be wanted soon."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        source = context.make_array(signature.args[0])(context, builder, arguments[0])
        ask(builder, builder.gep(source.data, [arguments[1]]))
        return context.get_dummy_value()

    return types.void(array, types.intp), generate


@intrinsic
def expect_square(typing: Any, array: Any, at: Any, step: Any, rows: Any) -> Any:
    """Ask memory for the square of array[at + r*step + c] of the first `rows` rows, whose rows may straddle lines."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        source = context.make_array(signature.args[0])(context, builder, arguments[0])
        kind = arguments[1].type
        size = ROW_BYTES * 8 // signature.args[0].dtype.bitwidth
        last = builder.sub(arguments[3], ir.Constant(kind, 1))
        for r in range(size):
            number = ir.Constant(kind, r)
            real = builder.select(builder.icmp_signed("<", number, last), number, last)
            first = builder.gep(source.data, [builder.add(arguments[1], builder.mul(real, arguments[2]))])
            ask(builder, first)
            ask(builder, builder.gep(first, [ir.Constant(kind, size - 1)]))
        return context.get_dummy_value()

    return types.void(array, types.intp, types.intp, types.intp), generate


@intrinsic
def expect_column(typing: Any, array: Any, at: Any, step: Any, rows: Any) -> Any:
    """Ask memory for array[at + r*step] of the first `rows` rows."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        source = context.make_array(signature.args[0])(context, builder, arguments[0])
        kind = arguments[1].type
        last = builder.sub(arguments[3], ir.Constant(kind, 1))
        for r in range(ROW_BYTES * 8 // signature.args[0].dtype.bitwidth):
            number = ir.Constant(kind, r)
            real = builder.select(builder.icmp_signed("<", number, last), number, last)
            ask(builder, builder.gep(source.data, [builder.add(arguments[1], builder.mul(real, arguments[2]))]))
        return context.get_dummy_value()

    return types.void(array, types.intp, types.intp, types.intp), generate


@intrinsic
def hand_out_vector(typing: Any, dst: Any, i: Any, src: Any, j: Any, step: Any, afresh: Any) -> Any:
    """dst[i + r*step] grows by the r-th element of a row of src, or becomes it (`afresh`). All are read first."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        (to, source), align = _pointers(context, builder, signature, arguments)
        size = ROW_BYTES // align
        kind = ir.VectorType(context.get_value_type(signature.args[0].dtype), size)
        row = _load(builder, builder.bitcast(source, kind.as_pointer()), align)
        places = [builder.gep(to, [builder.mul(arguments[4], ir.Constant(arguments[4].type, r))]) for r in range(size)]
        elements = [builder.extract_element(row, ir.Constant(ir.IntType(32), r)) for r in range(size)]
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
