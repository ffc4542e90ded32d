"""A row of lanes as one value: 64 bytes of numbers in one LLVM vector.

Kernels compute on `Lanes` (16 float32 or 8 float64) as on a scalar. Arithmetic and comparisons act on the whole
vector, a comparison gives a `Mask`, and `select` is the conditional expression. A row needs no loop that LLVM would
have to vectorise, with remainders and tests for overlap, and it stays in registers from its load to its store.
Formulas are written for scalars; `rewrite.point` turns their conditional expressions into `select` for lanes.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.typing.templates import AbstractTemplate, infer_global, signature
from numba.extending import intrinsic, lower_builtin, models, register_model

from dagdp.jit.bounds import check_range
from dagdp.jit.decorators import FASTMATH

ROW_BYTES = 64  # a cache line

I32 = ir.IntType(32)


class Lanes(types.Type):
    """A row of one floating type."""

    def __init__(self, dtype: types.Float) -> None:
        self.dtype = dtype
        self.count = ROW_BYTES * 8 // dtype.bitwidth
        super().__init__(f"lanes({dtype})")


class Mask(types.Type):
    """A truth value for each lane."""

    def __init__(self, count: int) -> None:
        self.count = count
        super().__init__(f"mask({count})")


@register_model(Lanes)
class _LanesModel(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: Lanes) -> None:
        element = ir.FloatType() if kind.dtype.bitwidth == 32 else ir.DoubleType()
        super().__init__(manager, kind, ir.VectorType(element, kind.count))


@register_model(Mask)
class _MaskModel(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: Mask) -> None:
        super().__init__(manager, kind, ir.VectorType(ir.IntType(1), kind.count))


def broadcast(builder: Any, scalar: Any, count: int) -> Any:
    """An LLVM vector that repeats one number."""
    vector = ir.VectorType(scalar.type, count)
    one = builder.insert_element(ir.Constant(vector, ir.Undefined), scalar, ir.Constant(I32, 0))
    zeros = ir.Constant(ir.VectorType(I32, count), None)
    return builder.shuffle_vector(one, ir.Constant(vector, ir.Undefined), zeros)


def as_lanes(context: Any, builder: Any, value: Any, kind: Any, row: Lanes) -> Any:
    """The value as a vector; a number beside lanes stands for a row of it."""
    if isinstance(kind, Lanes):
        return value
    return broadcast(builder, context.cast(builder, value, kind, row.dtype), row.count)


def row_type(*kinds: Any) -> Lanes | None:
    """The first type of lanes among the types, or None."""
    return next((kind for kind in kinds if isinstance(kind, Lanes)), None)


def _operation(function: Callable[..., Any], emit: Callable[..., Any], result: Callable[[Lanes], Any]) -> None:
    """Declare an operator of Python for lanes, and for lanes and a number."""

    @infer_global(function)
    class Typing(AbstractTemplate):
        def generic(self, given: Any, named: Any) -> Any:
            row = row_type(*given)
            if row is None or not all(isinstance(kind, Lanes | types.Float) for kind in given):
                return None
            return signature(result(row), *given)

    def lower(context: Any, builder: Any, sig: Any, given: Any) -> Any:
        row = row_type(*sig.args)
        assert row is not None
        return emit(builder, *(as_lanes(context, builder, v, k, row) for v, k in zip(given, sig.args, strict=True)))

    for kinds in ((Lanes, Lanes), (Lanes, types.Float), (types.Float, Lanes)):
        lower_builtin(function, *kinds)(lower)


def _arithmetic(name: str) -> Callable[..., Any]:
    return lambda builder, a, b: getattr(builder, name)(a, b, flags=tuple(FASTMATH))


def _comparison(sign: str) -> Callable[..., Any]:
    compare = "fcmp_unordered" if sign == "!=" else "fcmp_ordered"
    return lambda builder, a, b: getattr(builder, compare)(sign, a, b)


for _function, _name in (
    (operator.add, "fadd"),
    (operator.sub, "fsub"),
    (operator.mul, "fmul"),
    (operator.truediv, "fdiv"),
):
    _operation(_function, _arithmetic(_name), lambda row: row)
for _function, _sign in (
    (operator.lt, "<"),
    (operator.le, "<="),
    (operator.gt, ">"),
    (operator.ge, ">="),
    (operator.eq, "=="),
    (operator.ne, "!="),
):
    _operation(_function, _comparison(_sign), lambda row: Mask(row.count))


@infer_global(operator.neg)
class _Negated(AbstractTemplate):
    def generic(self, given: Any, named: Any) -> Any:
        return signature(given[0], given[0]) if isinstance(given[0], Lanes) else None


@lower_builtin(operator.neg, Lanes)
def _neg(context: Any, builder: Any, sig: Any, given: Any) -> Any:
    return builder.fneg(given[0])


def _logic(function: Callable[..., Any], name: str) -> None:
    @infer_global(function)
    class Typing(AbstractTemplate):
        def generic(self, given: Any, named: Any) -> Any:
            return signature(given[0], *given) if all(isinstance(kind, Mask) for kind in given) else None

    @lower_builtin(function, Mask, Mask)
    def lower(context: Any, builder: Any, sig: Any, given: Any) -> Any:
        return getattr(builder, name)(*given)


_logic(operator.and_, "and_")
_logic(operator.or_, "or_")


@intrinsic
def select(typing: Any, mask: Any, yes: Any, no: Any) -> Any:
    """`yes if mask else no`, lane by lane. A number stands for a row of it; a scalar mask chooses between scalars."""
    row = row_type(yes, no)
    if isinstance(mask, types.Boolean) and row is None:
        return yes(mask, yes, yes), lambda c, b, sig, a: b.select(a[0], a[1], a[2])
    if row is None:
        row = Lanes(yes)

    def generate(context: Any, builder: Any, sig: Any, given: Any) -> Any:
        sides = [as_lanes(context, builder, v, k, row) for v, k in zip(given[1:], sig.args[1:], strict=True)]
        return builder.select(given[0], *sides)

    return row(mask, yes, no), generate


def _vector_pointer(context: Any, builder: Any, kind: Any, array: Any, index: Any, what: str) -> Any:
    """A pointer to the row at an index; `what` names the access, for the checked build."""
    vector = context.get_value_type(Lanes(kind.dtype))
    source = context.make_array(kind)(context, builder, array)
    check_range(context, builder, kind, source, index, vector.count, what)
    return builder.bitcast(builder.gep(source.data, [index]), vector.as_pointer())


@intrinsic
def load(typing: Any, array: Any, at: Any) -> Any:
    """The row array[at : at + width]."""

    def generate(context: Any, builder: Any, sig: Any, given: Any) -> Any:
        value = builder.load(_vector_pointer(context, builder, sig.args[0], given[0], given[1], "load"))
        value.align = sig.args[0].dtype.bitwidth // 8
        return value

    return Lanes(array.dtype)(array, types.intp), generate


@intrinsic
def store(typing: Any, array: Any, at: Any, row: Any) -> Any:
    """array[at : at + width] = row."""

    def generate(context: Any, builder: Any, sig: Any, given: Any) -> Any:
        pointer = _vector_pointer(context, builder, sig.args[0], given[0], given[1], "store")
        builder.store(given[2], pointer).align = sig.args[0].dtype.bitwidth // 8
        return context.get_dummy_value()

    return types.void(array, types.intp, row), generate


@intrinsic
def splat(typing: Any, like: Any, number: Any) -> Any:
    """A row of one number, of the dtype of an array, of a row, or of the array that is a record's first field."""
    first = like
    while isinstance(first, types.BaseTuple):
        first = first[0]
    row = Lanes(first.dtype)

    def generate(context: Any, builder: Any, sig: Any, given: Any) -> Any:
        return broadcast(builder, context.cast(builder, given[1], sig.args[1], row.dtype), row.count)

    return row(like, number), generate


@intrinsic
def first_lanes_or(typing: Any, row: Any, n: Any, rest: Any) -> Any:
    """The first n lanes of a row, and those of `rest` (a row or a number) behind them."""

    def generate(context: Any, builder: Any, sig: Any, given: Any) -> Any:
        others = as_lanes(context, builder, given[2], sig.args[2], sig.args[0])
        return builder.select(_before(builder, given[1], sig.args[0].count), given[0], others)

    return row(row, types.intp, rest), generate


@intrinsic
def first_lanes(typing: Any, row: Any, n: Any) -> Any:
    """The first n lanes of a row, and 0 behind them."""

    def generate(context: Any, builder: Any, sig: Any, given: Any) -> Any:
        nothing = ir.Constant(given[0].type, None)
        return builder.select(_before(builder, given[1], sig.args[0].count), given[0], nothing)

    return row(row, types.intp), generate


def _before(builder: Any, n: Any, count: int) -> Any:
    """The mask of the first n lanes."""
    places = ir.Constant(ir.VectorType(I32, count), list(range(count)))
    return builder.icmp_signed("<", places, broadcast(builder, builder.trunc(n, I32), count))


@intrinsic
def fma(typing: Any, a: Any, b: Any, c: Any) -> Any:
    """a·b + c with one rounding. A number stands for a row of it."""
    row = row_type(a, b, c)
    assert row is not None

    def generate(context: Any, builder: Any, sig: Any, given: Any) -> Any:
        rows = [as_lanes(context, builder, v, k, row) for v, k in zip(given, sig.args, strict=True)]
        what = ir.FunctionType(rows[0].type, [r.type for r in rows])
        name = f"llvm.fma.v{row.count}f{row.dtype.bitwidth}"
        return builder.call(cgutils.get_or_insert_function(builder.module, what, name), rows)

    return row(a, b, c), generate


@intrinsic
def fenced(typing: Any, row: Any) -> Any:
    """The row behind an arithmetic fence: LLVM may not contract a product into an FMA with a later addition.

    A sum then has fixed bits, however a level falls into rows.
    """

    def generate(context: Any, builder: Any, sig: Any, given: Any) -> Any:
        kind = given[0].type
        name = f"llvm.arithmetic.fence.v{sig.args[0].count}f{sig.args[0].dtype.bitwidth}"
        return builder.call(cgutils.get_or_insert_function(builder.module, ir.FunctionType(kind, [kind]), name), given)

    return row(row), generate


def _integers(kind: Lanes) -> Any:
    return ir.VectorType(ir.IntType(kind.dtype.bitwidth), kind.count)


def _mantissa(kind: Lanes) -> int:
    return 23 if kind.dtype.bitwidth == 32 else 52


@intrinsic
def add_exponent(typing: Any, p: Any, t: Any) -> Any:
    """p·2^k, where k are the low bits of t: integer addition on the bits of the floats."""

    def generate(context: Any, builder: Any, sig: Any, given: Any) -> Any:
        kind, bits = sig.args[0], _integers(sig.args[0])
        shift = ir.Constant(bits, [_mantissa(kind)] * kind.count)
        k = builder.shl(builder.bitcast(given[1], bits), shift)
        return builder.bitcast(builder.add(builder.bitcast(given[0], bits), k), given[0].type)

    return p(p, t), generate


@intrinsic
def split_exponent(typing: Any, z: Any) -> Any:
    """(k, m) with z = m·2^k and m in [sqrt(1/2), sqrt(2)), for positive normal z."""

    def generate(context: Any, builder: Any, sig: Any, given: Any) -> Any:
        kind, bits = sig.args[0], _integers(sig.args[0])
        single = kind.dtype.bitwidth == 32

        def constant(number: int) -> Any:
            return ir.Constant(bits, [number] * kind.count)

        whole = builder.bitcast(given[0], bits)
        over = builder.sub(whole, constant(0x3F3504F3 if single else 0x3FE6A09E667F3BCD))
        m = builder.sub(whole, builder.and_(over, constant(-(1 << _mantissa(kind)))))
        k = builder.ashr(over, constant(_mantissa(kind)))
        if not single:  # from 64-bit integers only AVX-512 converts
            k = builder.trunc(k, ir.VectorType(I32, kind.count))
        pair = builder.sitofp(k, given[0].type), builder.bitcast(m, given[0].type)
        return context.make_tuple(builder, sig.return_type, pair)

    return types.UniTuple(z, 2)(z), generate


@intrinsic
def each_lane(typing: Any, function: Any, x: Any) -> Any:
    """function(lane) for each lane, where there is no vector form."""
    return _lane_by_lane(typing, function, x)


@intrinsic
def each_pair(typing: Any, function: Any, x: Any, y: Any) -> Any:
    """function(lane of x, lane of y); one of them may be a number."""
    return _lane_by_lane(typing, function, x, y)


def _lane_by_lane(typing: Any, function: Any, *kinds: Any) -> Any:
    """A row of function(lane, ...); a number is passed to each call."""
    row = row_type(*kinds)
    assert row is not None
    scalar = row.dtype
    sig = typing.resolve_function_type(function, tuple(scalar if isinstance(k, Lanes) else k for k in kinds), {})

    def generate(context: Any, builder: Any, outer: Any, given: Any) -> Any:
        call = context.get_function(function, sig)
        made = ir.Constant(context.get_value_type(row), ir.Undefined)
        for k in range(row.count):
            place = ir.Constant(I32, k)
            pairs = zip(given[1:], kinds, strict=True)
            lane = call(builder, [builder.extract_element(v, place) if isinstance(t, Lanes) else v for v, t in pairs])
            made = builder.insert_element(made, context.cast(builder, lane, sig.return_type, scalar), place)
        return made

    return row(function, *kinds), generate


@intrinsic
def square_root(typing: Any, row: Any) -> Any:
    """The square root of every lane."""

    def generate(context: Any, builder: Any, sig: Any, given: Any) -> Any:
        kind = sig.args[0]
        what = ir.FunctionType(given[0].type, [given[0].type])
        name = f"llvm.sqrt.v{kind.count}f{kind.dtype.bitwidth}"
        return builder.call(cgutils.get_or_insert_function(builder.module, what, name), [given[0]])

    return row(row), generate
