"""Rewrites the scalar text of a formula for a kernel: literals take the kernel's dtype, branches become selections.

A *point* function is plain scalar Python for any target: CUDA threads, the simulator, Python itself. A CPU kernel that
calls it with lanes compiles a rewritten text, in which `a if test else b` evaluates both sides and selects lane by
lane, and `math` names functions of lanes. A *looped* text is scalar Python with loops whose length does not
depend on lanes. It reads memory through accessors, functions that each target defines for its own records.
"""

from __future__ import annotations

import ast
import functools
import inspect
import textwrap
from collections.abc import Callable, Iterable, Iterator
from types import CellType, CodeType, FunctionType
from typing import Any

import numpy as np
from numba import types
from numba.extending import overload

from dagdp.jit.decorators import INLINED_OPTIONS, POINT_OPTIONS
from dagdp.jit.operator_errors import foreign
from dagdp.lanes.rows import Lanes, select


def narrow(function: Callable[..., Any], real: Any, literal: tuple[type, ...] = (int, float)) -> FunctionType:
    """`function` with its literals of the types `literal` as scalars of the type `real`.

    Numba types a bare 0.5 as float64, which would widen every float32 expression around it.
    """
    assert isinstance(function, FunctionType)
    code: CodeType = function.__code__
    literals = tuple(real(c) if type(c) in literal else c for c in code.co_consts)
    made = FunctionType(
        code.replace(co_consts=literals),
        function.__globals__,
        function.__name__,
        function.__defaults__,
        function.__closure__,
    )
    made.__module__ = __name__  # a kernel on disk names this module; another process may not have the user's
    return made


def with_helpers(function: Any, real: Any, compiled: Callable[[Any], Any], within: tuple[Any, ...] = ()) -> Any:
    """`function` narrowed, with the user's functions that it calls narrowed and compiled by `compiled`.

    A function that calls itself stays as it is.
    """
    helpers = {
        name: compiled(with_helpers(value, real, compiled, (*within, function)))
        for name, value in foreign(function).items()
        if isinstance(value, FunctionType) and value is not function and value not in within
    }
    narrowed = narrow(function, real)
    if not helpers:
        return narrowed
    code, cells = narrowed.__code__, zip(narrowed.__code__.co_freevars, narrowed.__closure__ or (), strict=True)
    closure = tuple(CellType(helpers[name]) if name in helpers else cell for name, cell in cells)
    made = FunctionType(code, {**function.__globals__, **helpers}, code.co_name, narrowed.__defaults__, closure)
    made.__module__ = __name__
    return made


def real_of(*arguments: Any) -> Any:
    """The NumPy scalar type of the first floating argument, or row of lanes, among Numba types."""
    for argument in arguments:
        kind = argument.dtype if isinstance(argument, Lanes) else argument
        if isinstance(kind, types.Float):
            return np.float32 if kind.bitwidth == 32 else np.float64
    return np.float64


@functools.cache
def on_lanes(function: Callable[..., Any], lane_math: Any = None, loops: bool = False) -> FunctionType:
    """`function` rewritten for lanes, with `lane_math` in place of the module `math` where given.

    loops : the text is known to have no loop or `if` statement that depends on lanes. Otherwise it may have neither.

    Raises OSError or TypeError if the source is not found (typed at a prompt, for example), or if the function has a
    loop or an `if` statement on lanes.
    """
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    except SyntaxError:  # a lambda in the middle of something
        raise TypeError(f"{function!r} is not a def of expressions alone") from None
    definition = tree.body[0]
    if not isinstance(definition, ast.FunctionDef) or (not loops and any(map(_branches, ast.walk(definition)))):
        raise TypeError(f"{function!r} is not a def of expressions alone")
    definition.decorator_list, definition.returns = [], None
    for argument in definition.args.args:
        argument.annotation = None
    tree = ast.fix_missing_locations(_Choices().visit(tree))
    names = {**function.__globals__, **inspect.getclosurevars(function).nonlocals, "_select": select}
    if lane_math is not None:
        names["math"] = lane_math
    exec(compile(tree, inspect.getsourcefile(function) or "<lanes>", "exec"), names)
    made: FunctionType = names[definition.name]
    return made


def _branches(node: ast.AST) -> bool:
    """True for a loop, and for an `if` whose test is no call of a static predicate such as `first_only(omega)`."""
    return isinstance(node, ast.For | ast.While) or (isinstance(node, ast.If) and not isinstance(node.test, ast.Call))


class _Choices(ast.NodeTransformer):
    """Conditional expressions become `_select`; and, or become &, |. Both operands are evaluated in every lane."""

    def visit_IfExp(self, node: ast.IfExp) -> ast.AST:
        self.generic_visit(node)
        return ast.Call(ast.Name("_select", ast.Load()), [node.test, node.body, node.orelse], [])

    def visit_BoolOp(self, node: ast.BoolOp) -> ast.AST:
        self.generic_visit(node)
        join: ast.operator = ast.BitAnd() if isinstance(node.op, ast.And) else ast.BitOr()
        return functools.reduce(lambda left, right: ast.BinOp(left, join, right), node.values)

    def visit_Compare(self, node: ast.Compare) -> ast.AST:
        self.generic_visit(node)
        if len(node.ops) == 1:
            return node
        sides = [node.left, *node.comparators]
        pairs: list[ast.expr] = [
            ast.Compare(a, [op], [b]) for a, op, b in zip(sides, node.ops, sides[1:], strict=False)
        ]
        return functools.reduce(lambda left, right: ast.BinOp(left, ast.BitAnd(), right), pairs)


def point(function: Callable[..., Any]) -> Callable[..., Any]:
    """Declare scalar text: Python runs it as written, and a kernel compiles it inline."""

    def typer(*arguments: Any) -> FunctionType:
        lanes = any(isinstance(argument, Lanes) for argument in arguments)
        return narrow(on_lanes(function) if lanes else function, real_of(*arguments))

    typer.__signature__ = inspect.signature(function)  # type: ignore[attr-defined]
    overload(function, strict=False, target="generic", jit_options=POINT_OPTIONS)(typer)
    return function


def looped(function: Callable[..., Any]) -> Callable[..., Any]:
    """Declare scalar text with loops: Python runs it as written, and a CPU kernel compiles it inline, for lanes.

    Only literals with a decimal point are narrowed, since integers count.
    """

    def typer(*arguments: Any) -> FunctionType:
        return narrow(on_lanes(function, loops=True), real_of(*leaves(arguments)), (float,))

    typer.__signature__ = inspect.signature(function)  # type: ignore[attr-defined]
    overload(function, strict=False, jit_options=INLINED_OPTIONS)(typer)
    return function


def accessor(function: Callable[..., Any]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Declare that CPU kernels compile the decorated text where `function`, which has no text of its own, is called."""

    def declared(text: Callable[..., Any]) -> Callable[..., Any]:
        def typer(*_arguments: Any) -> Callable[..., Any]:
            return text

        typer.__signature__ = inspect.signature(function)  # type: ignore[attr-defined]
        overload(function, strict=False, jit_options=INLINED_OPTIONS)(typer)
        return text

    return declared


def leaves(kinds: Iterable[Any]) -> Iterator[Any]:
    """Numba's types of the fields of records, and the types of their elements where fields are arrays."""
    for kind in kinds:
        if isinstance(kind, types.BaseTuple):
            yield from leaves(kind)
        else:
            yield kind.dtype if isinstance(kind, types.Array) else kind
