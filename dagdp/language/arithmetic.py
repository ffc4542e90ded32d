"""The values of subscripts, conditions and coefficients, for arrays of index values at once.

A value may be wrong at some places: data read out of range, or a division by zero. Such a place is an error only if the
alternative is kept there, so a value carries its faults along. The right operand of `and` is judged only where the left
one is true, and that of `or` only where it is false.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dagdp.language.syntax import subscripts_of, written_number

Array = NDArray[Any]
Environment = Mapping[str, Array]  # {index: its values}, arrays that broadcast
Data = Mapping[str, Array]

OPERATIONS: Mapping[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
}
DIVISIONS: Mapping[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.FloorDiv: np.floor_divide,
    ast.Mod: np.remainder,
}
COMPARISONS: Mapping[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}


class Fault(NamedTuple):
    """Places at which an expression has no value."""

    places: Array  # bool
    node: ast.expr
    reason: str  # follows the expression in an error message


class Value(NamedTuple):
    """The values of an expression; where a fault is, any number."""

    numbers: Any
    faults: tuple[Fault, ...] = ()

    @property
    def faulty(self) -> Any:
        """Whether a place has a fault: an array of bool, or False."""
        found: Any = False
        for fault in self.faults:
            found = found | fault.places
        return found


def evaluate(node: ast.expr, environment: Environment, data: Data) -> Value:
    """The value of an expression that `parse` has checked."""
    match node:
        case ast.Constant():
            return Value(np.asarray(node.value))
        case ast.Name():
            return Value(environment[node.id] if node.id in environment else data[node.id])
        case ast.Subscript():
            return _entry(node, environment, data)
        case ast.UnaryOp(op=ast.Not()):
            inner = evaluate(node.operand, environment, data)
            return Value(np.logical_not(inner.numbers), inner.faults)
        case ast.UnaryOp():
            inner = evaluate(node.operand, environment, data)
            return inner if isinstance(node.op, ast.UAdd) else Value(-_number(inner.numbers), inner.faults)
        case ast.BinOp():
            left, right = (evaluate(side, environment, data) for side in (node.left, node.right))
            return _operation(node, left, right)
        case ast.Compare():
            return _comparison(node, environment, data)
        case ast.BoolOp():
            return _choice([evaluate(one, environment, data) for one in node.values], isinstance(node.op, ast.And))
        case ast.Call():
            inner = evaluate(node.args[0], environment, data)
            return Value(np.abs(inner.numbers), inner.faults)
    raise AssertionError(ast.dump(node))


def both(first: Value, then: Value) -> Value:
    """`first and then`."""
    return _choice([first, then], True)


def _number(values: Any) -> Any:
    """Booleans as integers: NumPy does not subtract them."""
    return values.astype(np.int64) if np.asarray(values).dtype == bool else values


def _operation(node: ast.BinOp, left: Value, right: Value) -> Value:
    a, b, faults = _number(left.numbers), _number(right.numbers), left.faults + right.faults
    if type(node.op) in OPERATIONS:
        return Value(OPERATIONS[type(node.op)](a, b), faults)
    zero = np.equal(b, 0)
    if zero.any():
        faults += (Fault(zero, node, "divides by zero; leave the edge out by when(...)"),)
        b = np.where(zero, 1, b)
    return Value(DIVISIONS[type(node.op)](a, b), faults)


def _comparison(node: ast.Compare, environment: Environment, data: Data) -> Value:
    left, holds = evaluate(node.left, environment, data), Value(np.asarray(True))
    for op, side in zip(node.ops, node.comparators, strict=True):
        right = evaluate(side, environment, data)
        found = COMPARISONS[type(op)](left.numbers, right.numbers)
        holds = both(holds, Value(found, left.faults + right.faults))
        left = right._replace(faults=())
    return holds


def _choice(values: list[Value], every: bool) -> Value:
    """`and` (every), or `or`, of some values, from left to right."""
    made = Value(np.asarray(values[0].numbers, bool), values[0].faults)
    for one in values[1:]:
        judged = made.numbers if every else ~made.numbers
        faults = tuple(fault._replace(places=fault.places & judged) for fault in one.faults)
        right = np.asarray(one.numbers, bool)
        made = Value(made.numbers & right if every else made.numbers | right, made.faults + faults)
    return made


def _entry(node: ast.Subscript, environment: Environment, data: Data) -> Value:
    """An entry of data; a written negative number counts from the end."""
    assert isinstance(node.value, ast.Name)
    array, places = data[node.value.id], []
    faults: tuple[Fault, ...] = ()
    outside: Any = False
    for subscript, size in zip(subscripts_of(node), array.shape, strict=True):
        place = evaluate(subscript, environment, data)
        faults += place.faults
        numbers = from_the_end(subscript, place.numbers, size)
        if not np.issubdtype(np.asarray(numbers).dtype, np.integer):
            faults += (Fault(np.ones(np.shape(numbers), bool), subscript, "is no whole number"),)
            numbers = np.zeros(np.shape(numbers), np.int64)
        outside = outside | (numbers < 0) | (numbers >= size)
        places.append(np.clip(numbers, 0, max(size - 1, 0)))
    if np.any(outside):
        reason = (
            f"is out of range; {node.value.id} has shape {array.shape}. Give longer data, or leave the edge out by "
            "when(...)"
        )
        faults += (Fault(np.asarray(outside), node, reason),)
    if array.size == 0:
        return Value(np.zeros(np.broadcast_shapes(*map(np.shape, places)), array.dtype), faults)
    return Value(array[tuple(places)], faults)


def from_the_end(subscript: ast.expr, numbers: Any, size: int) -> Any:
    """The numbers of a subscript as whole numbers; a written negative number counts from the end of an axis."""
    number = written_number(subscript)
    if number is not None and number < 0:
        return np.asarray(number + size)
    return _number(numbers)
