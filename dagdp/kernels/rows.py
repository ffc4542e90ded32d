"""Moving rows of samples: a state array holds `lanes` consecutive samples of each node.

A row of 64 bytes is one AVX-512 register (or two AVX2, four NEON), so rows of a multiple of 64 bytes
are moved whole. The same loop left to LLVM checks for overlap before every row, 5 ns each time.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from dagdp.kernels.jit import inner

ROW_BYTES = 64


def _vectors(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    """Typed pointers to 64 bytes at dst[i] and src[j]."""
    element = signature.args[0].dtype
    vector = ir.VectorType(context.get_value_type(element), ROW_BYTES // (element.bitwidth // 8))
    pointers = []
    for place in (0, 2):
        array = context.make_array(signature.args[place])(context, builder, arguments[place])
        pointer = cgutils.get_item_pointer(
            context, builder, signature.args[place], array, [arguments[place + 1]], wraparound=False
        )
        pointers.append(builder.bitcast(pointer, vector.as_pointer()))
    return pointers, element.bitwidth // 8


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
def scatter_add(dst: Any, nodes: Any, first: int, count: int, src: Any, lanes: int) -> None:
    """dst's row nodes[first + k] grows by row k of src, in the order of k."""
    whole = ROW_BYTES // dst.itemsize
    if lanes == 1:
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
