"""Makes the functions of one kernel from the texts of all: static names are folded, barriers chosen, literals narrowed.

A text is plain Python, see `dagdp.kernels.cuda.texts.names`. A made function keeps file and line numbers of its text.
"""

from __future__ import annotations

import ast
import builtins
import functools
import math
from collections.abc import Callable, Sequence
from enum import IntEnum
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any, Literal, NamedTuple, NoReturn

import numpy as np

from dagdp.kernels.cuda.compilation.fold import fold
from dagdp.kernels.cuda.compilation.text import KernelText, read

Barrier = Literal["block", "warp", "yield"]


def specialised(
    functions: Sequence[FunctionType],
    names: dict[str, Any],
    static: dict[str, bool | int],
    barrier: Barrier,
    wrap: Callable[[FunctionType], Any] = lambda function: function,
) -> dict[str, Any]:
    """The functions made from these texts, {name: wrap(function)}.

    names : the namespace of the made functions, with REAL, np.float32 or np.float64. In a copy of it they find each
        other, as `wrap` returns them. Members of an IntEnum in it become integers.
    static : values of names, and of calls of names whatever the arguments are (`exponential(omega)`).
    barrier : what `meet()` becomes: cuda.syncthreads(), cuda.syncwarp(), or a yield of its place. Functions in which a
        barrier is reached are then generators, and calls of them `yield from`.

    Raises TypeError, with the place in the file, for a text that no kernel can have.

    >>> from dagdp.kernels.recursion import argument
    >>> made = specialised([argument], {"REAL": np.float32}, {"first_only": True}, "block")["argument"]
    >>> made(None, np.float32(0.3), np.float32(2.0), np.float32(2.0))
    np.float32(0.0)
    """
    folded = {function.__name__: _Folded.of(function, static, names) for function in functions}
    if len(folded) < len(functions):
        raise TypeError(f"texts of the names {sorted(f.__name__ for f in functions)}; expected each name once")
    meeting = _meeting({name: _called_in(one) for name, one in folded.items()})
    space = {**names, "__name__": __name__}
    compiled = {
        name: _compiled(one, barrier, meeting & set(one.function.__code__.co_names)) for name, one in folded.items()
    }
    for one in compiled.values():
        for name, literal in one.literals.items():
            space[name] = _narrowed(one, literal, names["REAL"])
        exec(one.code, space)
    for name, one in compiled.items():
        _check_names(one, space, set(space[name].__code__.co_varnames))
    wrapped = {name: wrap(space[name]) for name in compiled}
    space.update(wrapped)
    return wrapped


class _Folded(NamedTuple):
    """A function and the values of the static names and enumerations in it: all on which its folded text depends."""

    function: Any  # a FunctionType, which type checkers take for a method here
    static: tuple[tuple[str, type, int], ...]  # with the type, since True == 1
    enumerations: tuple[tuple[str, type[IntEnum]], ...]

    @classmethod
    def of(cls, function: FunctionType, static: dict[str, bool | int], names: dict[str, Any]) -> _Folded:
        found = sorted({*function.__code__.co_names, *function.__code__.co_varnames})
        known = [name for name in found if isinstance(names.get(name), type) and issubclass(names[name], IntEnum)]
        return cls(
            function,
            tuple((name, type(static[name]), static[name]) for name in found if name in static),
            tuple((name, names[name]) for name in known),
        )

    def text(self) -> KernelText:
        """The folded text, which the caller may change."""
        text = read(self.function)
        fold(text, {name: value for name, _, value in self.static}, dict(self.enumerations))
        return text


class _Compiled(NamedTuple):
    """A function for one kind of barrier and for every real type. Kernels of different variants share most of them."""

    text: KernelText
    code: CodeType
    literals: dict[str, ast.Constant]
    used: list[ast.Name]


@functools.cache
def _called_in(folded: _Folded) -> frozenset[str]:
    """Names of the functions that a folded text calls."""
    return frozenset(_called(node) for node in ast.walk(folded.text().tree))


@functools.cache
def _compiled(folded: _Folded, barrier: Barrier, meeting: frozenset[str]) -> _Compiled:
    """meeting : functions named in this one in which a barrier is reached."""
    text = folded.text()
    _Barriers(text, meeting, barrier).visit(text.tree)
    narrow = _Narrow(text)
    narrow.visit(text.tree)
    code = compile(ast.Module([text.tree], []), text.filename, "exec")
    return _Compiled(text, code, narrow.literals, narrow.used)


def _narrowed(one: _Compiled, literal: ast.Constant, real: Any) -> Any:
    """A literal as a number of the real type."""
    assert isinstance(literal.value, float)
    with np.errstate(over="ignore", under="ignore"):
        number = real(literal.value)
    if math.isfinite(literal.value) and (not np.isfinite(number) or (number == 0) != (literal.value == 0)):
        one.text.refuse(literal, f"has the number {literal.value}, which is outside the range of {real.__name__}")
    return number


def _called(node: ast.AST | None) -> str:
    """The name of the function that an expression calls, or ''."""
    return node.func.id if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) else ""


def _meeting(calls: dict[str, frozenset[str]]) -> frozenset[str]:
    """Names of the functions in which a barrier is reached, directly or through another of them."""
    found = {"meet"}
    while True:
        more = {name for name, called in calls.items() if called & found} - found
        if not more:
            return frozenset(found - {"meet"})
        found |= more


class _Barriers(ast.NodeTransformer):
    """`meet()` becomes the barrier. A call that reaches one must be a statement, or all that is assigned or returned.

    This holds for every kind of barrier, so that a text that compiles can be interpreted, too.
    """

    def __init__(self, text: KernelText, meeting: frozenset[str], barrier: Barrier) -> None:
        self.text, self.meeting, self.barrier = text, meeting, barrier

    def visit_Expr(self, node: ast.Expr) -> ast.AST:
        if _called(node.value) != "meet":
            return self._value(node)
        assert isinstance(node.value, ast.Call)
        if node.value.args or node.value.keywords:
            self.text.refuse(node, "calls meet with arguments; expected meet()")
        made: ast.expr
        if self.barrier == "yield":
            made = ast.Yield(ast.Constant(self.text.place(node)))
        else:
            made = ast.parse({"block": "cuda.syncthreads()", "warp": "cuda.syncwarp()"}[self.barrier], mode="eval").body
        for inner in ast.walk(made):
            ast.copy_location(inner, node)
        node.value = made
        return node

    def visit_Assign(self, node: ast.Assign) -> ast.AST:
        return self._value(node)

    def visit_Return(self, node: ast.Return) -> ast.AST:
        return self._value(node)

    def _value(self, node: ast.Expr | ast.Assign | ast.Return) -> ast.AST:
        call = node.value
        if _called(call) not in self.meeting:
            return self.generic_visit(node)
        assert isinstance(call, ast.Call)
        call.args = [self.visit(argument) for argument in call.args]
        call.keywords = [self.visit(argument) for argument in call.keywords]
        if self.barrier == "yield":
            node.value = ast.copy_location(ast.YieldFrom(call), call)
        return node

    def visit_Name(self, node: ast.Name) -> ast.AST:
        if node.id == "meet" or node.id in self.meeting:
            self.text.refuse(
                node,
                f"uses {node.id} within an expression; a barrier is reached there, so expected the call as a "
                "statement, or as all that an assignment or a return has on its right",
            )
        return node


class _Narrow(ast.NodeTransformer):
    """A literal with a decimal point becomes a name, whose value is of the kernel's real type."""

    def __init__(self, text: KernelText) -> None:
        self.text = text
        self.literals: dict[str, ast.Constant] = {}
        self.used: list[ast.Name] = []

    def visit_Name(self, node: ast.Name) -> ast.AST:
        self.used.append(node)
        return node

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        if isinstance(node.value, bool | int):
            return node
        if not isinstance(node.value, float):
            return node if node.value is None or self.is_place(node) else self._refuse(node)
        name = "real_" + repr(node.value).replace(".", "_").replace("-", "minus_").replace("+", "")
        self.literals[name] = node
        return ast.copy_location(ast.Name(name, ast.Load()), node)

    def is_place(self, node: ast.Constant) -> bool:
        """Whether the literal is what a barrier yields."""
        return isinstance(node.value, str) and node.value.startswith(f"{Path(self.text.filename).name}:")

    def _refuse(self, node: ast.Constant) -> NoReturn:
        self.text.refuse(node, f"has the literal {node.value!r}; kernels have numbers, True, False and None")

    def visit_Call(self, node: ast.Call) -> ast.AST:
        if _called(node) == "float":
            self.text.refuse(node, "calls float, which makes a float64; expected REAL")
        return self.generic_visit(node)


def _check_names(one: _Compiled, space: dict[str, Any], local: set[str]) -> None:
    """Raise TypeError for a name that has no value, before a compiler meets it."""
    for node in one.used:
        if node.id not in local and node.id not in space and not hasattr(builtins, node.id):
            one.text.refuse(node, f"uses the name {node.id}, which is no variable of it; expected it in the namespace")
