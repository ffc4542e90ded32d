"""Reductions of a row of lanes: sums, and tests of masks."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

I32 = ir.IntType(32)


@intrinsic
def any_lane(typing: Any, mask: Any) -> Any:
    """Whether the mask holds in some lane."""

    def generate(context: Any, builder: Any, sig: Any, given: Any) -> Any:
        bits = ir.IntType(sig.args[0].count)
        return builder.icmp_unsigned("!=", builder.bitcast(given[0], bits), ir.Constant(bits, 0))

    return types.boolean(mask), generate


@intrinsic
def sum_lanes(typing: Any, row: Any) -> Any:
    """The sum of the lanes, by halves: the order of additions is fixed."""

    def generate(context: Any, builder: Any, sig: Any, given: Any) -> Any:
        value, size = given[0], sig.args[0].count
        while size > 1:
            size //= 2
            low, high = (ir.Constant(ir.VectorType(I32, size), [*range(a, a + size)]) for a in (0, size))
            value = builder.fadd(builder.shuffle_vector(value, value, low), builder.shuffle_vector(value, value, high))
        return builder.extract_element(value, ir.Constant(I32, 0))

    return row.dtype(row), generate


@intrinsic
def sum_lanes_of_four(typing: Any, a: Any, b: Any, c: Any, d: Any) -> Any:
    """The sums of the lanes of four rows, with the bits of `sum_lanes`; the halves of different rows share vectors."""

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
                        ir.VectorType(I32, lanes // 2),
                        [begin + lane for begin in range(half, lanes, 2 * width) for lane in range(width)],
                    )
                    for half in (0, width)
                )
                halves = (builder.shuffle_vector(first, second, mask) for mask in (low, high))
                made.append(builder.fadd(*halves))
            rows = made
        sums = [builder.extract_element(rows[0], ir.Constant(I32, n)) for n in range(4)]
        return context.make_tuple(builder, sig.return_type, sums)

    return types.UniTuple(a.dtype, 4)(a, b, c, d), generate
