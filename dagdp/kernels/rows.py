"""Moving rows of samples: a state array holds `lanes` consecutive samples of each node.

A row of 64 bytes is one AVX-512 register (or two AVX2, four NEON), so rows of a multiple of 64 bytes
are moved whole. The same loop left to LLVM checks for overlap before every row.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from dagdp.kernels.jit import inner

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
def _transpose(typing: Any, dst: Any, i: Any, dst_step: Any, src: Any, j: Any, src_step: Any) -> Any:
    """A square of one row's width: src[j + r*src_step + c] goes to dst[i + c*dst_step + r]."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        (to, source), align = _pointers(context, builder, signature, arguments)
        size = ROW_BYTES // align
        vector = ir.VectorType(context.get_value_type(signature.args[0].dtype), size)

        def row(pointer: Any, step: Any, r: int) -> Any:
            offset = builder.mul(step, ir.Constant(step.type, r))
            return builder.bitcast(builder.gep(pointer, [offset]), vector.as_pointer())

        rows = [_load(builder, row(source, arguments[5], r), align) for r in range(size)]
        half = ir.Constant(ir.VectorType(ir.IntType(32), size), [k // 2 + size * (k % 2) for k in range(size)])
        rest = [size // 2 + k // 2 + size * (k % 2) for k in range(size)]
        other = ir.Constant(ir.VectorType(ir.IntType(32), size), rest)
        for _ in range(size.bit_length() - 1):  # log2 perfect shuffles
            pairs = [(rows[r], rows[r + size // 2]) for r in range(size // 2)]
            rows = [builder.shuffle_vector(a, b, mask) for a, b in pairs for mask in (half, other)]
        for c in range(size):
            builder.store(rows[c], row(to, arguments[2], c)).align = align
        return context.get_dummy_value()

    return types.void(dst, types.intp, types.intp, src, types.intp, types.intp), generate


@inner
def gather(dst: Any, at: int, src: Any, nodes: Any, first: int, count: int, lanes: int) -> None:
    """Rows src[nodes[first + k]] become the rows of dst from element `at` on."""
    whole = ROW_BYTES // dst.itemsize
    if lanes == 1:
        for k in range(count):
            dst[at + k] = src[nodes[first + k]]
    elif lanes % whole == 0:
        for k in range(count):
            row = nodes[first + k] * lanes
            for b in range(0, lanes, whole):
                _move(dst, at + k * lanes + b, src, row + b)
    else:
        for k in range(count):
            row = nodes[first + k] * lanes
            for b in range(lanes):
                dst[at + k * lanes + b] = src[row + b]


@inner
def copy(dst: Any, src: Any) -> None:
    for w in range(dst.shape[0]):
        dst[w] = src[w]


@inner
def fetch(dst: Any, at: int, src: Any, nodes: Any, first: int, count: int, step: int, lanes: int) -> None:
    """`gather` for a run: its nodes advance by `step`, or (step -1) have to be looked up."""
    if step == 1:
        row = nodes[first] * lanes
        copy(dst[at : at + count * lanes], src[row : row + count * lanes])
    elif step == 0 and lanes == 1:
        value = src[nodes[first]]
        for k in range(count):
            dst[at + k] = value
    else:
        gather(dst, at, src, nodes, first, count, lanes)


@inner
def view(spare: Any, src: Any, nodes: Any, first: int, count: int, step: int, lanes: int) -> Any:
    """The rows of a run: in place where they are consecutive, else gathered into `spare`."""
    size = count * lanes
    row = nodes[first] * lanes
    if step != 1:
        fetch(spare, 0, src, nodes, first, count, step, lanes)
        row = 0
    return (src if step == 1 else spare)[row : row + size]


@inner
def add_rows(dst: Any, nodes: Any, first: int, count: int, step: int, src: Any, lanes: int) -> None:
    """dst's row of the run's k-th node grows by row k of src, in the order of k."""
    whole = ROW_BYTES // dst.itemsize
    if step == 1:
        total = dst[nodes[first] * lanes : (nodes[first] + count) * lanes]
        for w in range(count * lanes):
            total[w] += src[w]
    elif lanes == 1:
        for k in range(count):
            dst[nodes[first + k]] += src[k]
    elif lanes % whole == 0:
        for k in range(count):
            row = nodes[first + k] * lanes
            for b in range(0, lanes, whole):
                _add(dst, row + b, src, k * lanes + b)
    else:
        for k in range(count):
            row = nodes[first + k] * lanes
            for b in range(lanes):
                dst[row + b] += src[k * lanes + b]


@inner
def turn(dst: Any, src: Any, at: int, src_step: int) -> None:
    """The square src[at + r*src_step + c] into dst, transposed and dense; src may be dst."""
    size = ROW_BYTES // dst.itemsize
    _transpose(dst, 0, size, src, at, src_step)


@inner
def add_row(dst: Any, at: int, src: Any, start: int) -> None:
    """One row of 64 bytes."""
    _add(dst, at, src, start)


@inner
def move_row(dst: Any, at: int, src: Any, start: int) -> None:
    """One row of 64 bytes."""
    _move(dst, at, src, start)
