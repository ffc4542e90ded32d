"""Moving rows of samples: a state array holds `lanes` consecutive samples of each node.

A row of 64 bytes is one AVX-512 register (or two AVX2, four NEON), so rows of a multiple of 64 bytes
are moved whole. The same loop left to LLVM checks for overlap before every row.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numba.np.arrayobj import populate_array

from dagdp.kernels.jit import inlined, inner
from dagdp.progressions import LISTED

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


@inner
def to_line(array: Any) -> int:
    """The first element that lies on a cache line: a row of 64 bytes may else straddle two."""
    return (-array.ctypes.data % ROW_BYTES) * row_length(array) // ROW_BYTES


@inner
def aligned(like: Any, size: int) -> Any:
    """Uninitialised, and on a cache line."""
    block = np.empty(size + row_length(like), like.dtype)
    skip = to_line(block)
    return block[skip : skip + size]


@intrinsic
def _move(typing: Any, dst: Any, i: Any, src: Any, j: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        (to, source), align = _vectors(context, builder, signature, arguments)
        builder.store(_load(builder, source, align), to).align = align
        return context.get_dummy_value()

    return types.void(dst, types.intp, src, types.intp), generate


@intrinsic
def _add(typing: Any, dst: Any, i: Any, src: Any, j: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        (to, source), align = _vectors(context, builder, signature, arguments)
        total = builder.fadd(_load(builder, to, align), _load(builder, source, align))
        builder.store(total, to).align = align
        return context.get_dummy_value()

    return types.void(dst, types.intp, src, types.intp), generate


@intrinsic
def _spread(typing: Any, dst: Any, i: Any, value: Any) -> Any:
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
def _total(typing: Any, src: Any, j: Any) -> Any:
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
def _transpose(typing: Any, dst: Any, i: Any, dst_step: Any, src: Any, j: Any, src_step: Any, rows: Any) -> Any:
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
def _collect(typing: Any, dst: Any, i: Any, src: Any, j: Any, step: Any, rows: Any) -> Any:
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
def _hand_out(typing: Any, dst: Any, i: Any, src: Any, j: Any, step: Any) -> Any:
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


# Rows of a node are mostly one row of 64 bytes: that loop stands alone, since LLVM gives a nest of loops over
# rows some thirty induction variables, all of them in memory.


@inlined
def number(rule: Any, k: int) -> int:
    """The k-th of the numbers that (listed, start, step) describe: see progressions.py."""
    listed, start, step = rule
    return pick(listed, start + k) if step == LISTED else start + step * k


@inlined
def later(rule: Any, k: int) -> Any:
    """The same numbers from the k-th on."""
    listed, start, step = rule
    return listed, start + (k if step == LISTED else step * k), step


@inner
def gather(dst: Any, at: int, src: Any, nodes: Any, count: int, lanes: int) -> None:
    """src's rows of the nodes become the rows of dst from element `at` on."""
    whole = row_length(dst)
    if lanes == whole:
        for k in range(count):
            _move(dst, at + k * whole, src, number(nodes, k) * whole)
    elif lanes == 1:
        for k in range(count):
            dst[at + k] = src[number(nodes, k)]
    else:
        for k in range(count):
            copy(part(dst, at + k * lanes, lanes), part(src, number(nodes, k) * lanes, lanes))


@inner
def copy(dst: Any, src: Any) -> None:
    for w in range(dst.shape[0]):
        dst[w] = src[w]


@inner
def add(total: Any, term: Any) -> None:
    for w in range(total.shape[0]):
        total[w] += term[w]


@inner
def fetch(dst: Any, at: int, src: Any, nodes: Any, count: int, lanes: int) -> None:
    """`gather`, at once where the nodes are neighbours."""
    _, start, step = nodes
    if step == 1:
        copy(part(dst, at, count * lanes), part(src, start * lanes, count * lanes))
    elif step == 0 and lanes == 1:
        value = src[start]
        for k in range(count):
            dst[at + k] = value
    else:
        gather(dst, at, src, nodes, count, lanes)


@inner
def view(spare: Any, src: Any, nodes: Any, count: int, lanes: int) -> Any:
    """src's rows of the nodes: in place where they are neighbours, else gathered into `spare`."""
    _, start, step = nodes
    if step == 1:
        return part(src, start * lanes, count * lanes)
    fetch(spare, 0, src, nodes, count, lanes)
    return part(spare, 0, count * lanes)


@inner
def add_rows(dst: Any, nodes: Any, src: Any, count: int, lanes: int) -> None:
    """dst's row of the k-th node grows by row k of src, in the order of k."""
    whole = row_length(dst)
    _, start, step = nodes
    if step == 1:
        add(part(dst, start * lanes, count * lanes), src)
    elif lanes == whole:
        for k in range(count):
            _add(dst, number(nodes, k) * whole, src, k * whole)
    elif lanes == 1:
        for k in range(count):
            dst[number(nodes, k)] += src[k]
    else:
        for k in range(count):
            add(part(dst, number(nodes, k) * lanes, lanes), part(src, k * lanes, lanes))


@inner
def turn(dst: Any, src: Any, at: int, src_step: int, rows: int) -> None:
    """The square src[at + r*src_step + c] into dst, transposed and dense; src may be dst.

    Only `rows` rows exist; the others repeat the last.
    """
    _transpose(dst, 0, row_length(dst), src, at, src_step, rows)


@inner
def collect(dst: Any, at: int, src: Any, start: int, step: int, rows: int) -> None:
    """A row of 64 bytes from one element a sample, `step` apart; the last of `rows` samples stands for those beyond."""
    _collect(dst, at, src, start, step, rows)


@inner
def hand_out(dst: Any, start: int, step: int, src: Any, at: int) -> None:
    """The other way round: each sample's element grows by its part of the row."""
    _hand_out(dst, start, src, at, step)


@inner
def add_row(dst: Any, at: int, src: Any, start: int) -> None:
    """One row of 64 bytes."""
    _add(dst, at, src, start)


@inner
def move_row(dst: Any, at: int, src: Any, start: int) -> None:
    """One row of 64 bytes."""
    _move(dst, at, src, start)


@inner
def spread(dst: Any, at: int, value: Any, lanes: int) -> None:
    """A node's samples all grow by one number."""
    whole = row_length(dst)
    if lanes % whole == 0:
        for b in range(0, lanes, whole):
            _spread(dst, at + b, value)
    else:
        for b in range(lanes):
            dst[at + b] += value


@inner
def total(src: Any, at: int, count: int) -> Any:
    """The sum over `count` samples of a node."""
    whole = row_length(src)
    made = src.dtype.type(0)
    last = count // whole * whole
    for b in range(0, last, whole):
        made += _total(src, at + b)
    for b in range(last, count):
        made += src[at + b]
    return made
