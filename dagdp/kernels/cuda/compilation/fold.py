"""Constant folding of a kernel text: what a variant does not need vanishes, so that no compiler types it."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Mapping, Sequence
from enum import IntEnum
from typing import Any

from dagdp.kernels.cuda.compilation.text import KernelText

_BINARY: dict[type, Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.LShift: operator.lshift,
    ast.RShift: operator.rshift,
    ast.BitAnd: operator.and_,
    ast.BitOr: operator.or_,
}
_UNARY: dict[type, Callable[[Any], Any]] = {ast.USub: operator.neg, ast.UAdd: operator.pos, ast.Not: operator.not_}
_COMPARE: dict[type, Callable[[Any, Any], bool]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}
_LEAVES = (ast.Return, ast.Raise, ast.Break, ast.Continue)


Enumerations = Mapping[str, type[IntEnum]]


def fold(text: KernelText, static: dict[str, bool | int], enumerations: Enumerations) -> None:
    """Replace static names by their values, in place.

    static : values of names, and of calls of names whatever the arguments are (`exponential(omega)`).
    enumerations : classes by name, whose members (`Column.END`) are integers.

    Expressions of constants are evaluated, and statements that are never reached vanish. Raises TypeError where a text
    assigns to a static name, or names no member.
    """
    _Fold(text, static, enumerations).visit(text.tree)


class _Fold(ast.NodeTransformer):
    """Static names become constants, expressions of constants too, and statements that no variant reaches vanish."""

    def __init__(self, text: KernelText, static: dict[str, bool | int], enumerations: Enumerations) -> None:
        self.text, self.static, self.enumerations = text, static, enumerations

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        self.generic_visit(node.args)
        node.body = self._block(node.body) or [ast.copy_location(ast.Pass(), node)]
        return node

    def _block(self, statements: list[ast.stmt]) -> list[ast.stmt]:
        """The statements that remain of a block; what follows a return, break or continue is never reached."""
        kept: list[ast.stmt] = []
        for statement in statements:
            found = self.visit(statement)
            kept += found if isinstance(found, list) else [found] if found is not None else []
            if kept and isinstance(kept[-1], _LEAVES):
                break
        return [one for one in kept if not isinstance(one, ast.Pass)]

    def visit_If(self, node: ast.If) -> Any:
        node.test = self._test(node.test)
        if isinstance(node.test, ast.Constant):
            return self._block(node.body if node.test.value else node.orelse)
        node.body, node.orelse = self._block(node.body), self._block(node.orelse)
        if not node.body and not node.orelse and _is_pure(node.test):
            return None
        node.body = node.body or [ast.copy_location(ast.Pass(), node)]
        return node

    def visit_While(self, node: ast.While) -> Any:
        node.test = self._test(node.test)
        if isinstance(node.test, ast.Constant) and not node.test.value:
            return self._block(node.orelse)
        return self._loop(node)

    def visit_For(self, node: ast.For) -> Any:
        node.target, node.iter = self.visit(node.target), self.visit(node.iter)
        limits = _constants(node.iter.args) if isinstance(node.iter, ast.Call) else None
        ranged = isinstance(node.iter, ast.Call) and ast.unparse(node.iter.func) == "range"
        if ranged and limits and not range(*limits):
            return self._block(node.orelse)
        return self._loop(node)

    def _loop(self, node: ast.For | ast.While) -> ast.AST:
        node.body = self._block(node.body) or [ast.copy_location(ast.Pass(), node)]
        node.orelse = self._block(node.orelse)
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> Any:
        if node.value is None:
            return None
        return self.visit(ast.copy_location(ast.Assign([node.target], node.value), node))

    def visit_IfExp(self, node: ast.IfExp) -> ast.AST:
        node.test = self._test(node.test)
        if isinstance(node.test, ast.Constant):
            chosen: ast.AST = self.visit(node.body if node.test.value else node.orelse)
            return chosen
        node.body, node.orelse = self.visit(node.body), self.visit(node.orelse)
        return node

    def _test(self, node: ast.expr) -> ast.expr:
        """An expression of which only the truth matters."""
        if isinstance(node, ast.BoolOp):
            return _joined(node, [self._test(value) for value in node.values], truth=True)
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            node.operand = self._test(node.operand)
            return _evaluated(node, [node.operand], operator.not_)
        found: ast.expr = self.visit(node)
        return found

    def visit_BoolOp(self, node: ast.BoolOp) -> ast.AST:
        values = [self.visit(value) for value in node.values]
        return _joined(node, values, truth=all(_is_truth(value) for value in values))

    def visit_Compare(self, node: ast.Compare) -> ast.AST:
        self.generic_visit(node)
        operations = [_COMPARE.get(type(op)) for op in node.ops]

        def holds(*sides: Any) -> bool:
            return all(op(a, b) for op, a, b in zip(operations, sides, sides[1:], strict=False) if op is not None)

        return node if None in operations else _evaluated(node, [node.left, *node.comparators], holds)

    def visit_BinOp(self, node: ast.BinOp) -> ast.AST:
        self.generic_visit(node)
        return _evaluated(node, [node.left, node.right], _BINARY.get(type(node.op)))

    def visit_UnaryOp(self, node: ast.UnaryOp) -> ast.AST:
        self.generic_visit(node)
        return _evaluated(node, [node.operand], _UNARY.get(type(node.op)))

    def visit_Call(self, node: ast.Call) -> ast.AST:
        if isinstance(node.func, ast.Name) and node.func.id in self.static:
            return ast.copy_location(ast.Constant(self.static[node.func.id]), node)
        return self.generic_visit(node)

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        members = self.enumerations.get(node.value.id) if isinstance(node.value, ast.Name) else None
        if members is None:
            return self.generic_visit(node)
        if node.attr not in members.__members__:
            self.text.refuse(node, f"names {members.__name__}.{node.attr}; expected one of {list(members.__members__)}")
        return ast.copy_location(ast.Constant(int(members[node.attr])), node)

    def visit_Name(self, node: ast.Name) -> ast.AST:
        if node.id not in self.static:
            return node
        if not isinstance(node.ctx, ast.Load):
            self.text.refuse(node, f"assigns to {node.id}, which is static; expected a variable of another name")
        return ast.copy_location(ast.Constant(self.static[node.id]), node)

    def visit_arg(self, node: ast.arg) -> ast.AST:
        if node.arg in self.static:
            self.text.refuse(node, f"has the parameter {node.arg}, which is static; expected another name")
        return node


def _constants(nodes: Sequence[ast.expr]) -> list[Any] | None:
    """The values of expressions that are all numbers, or None."""
    values = [node.value for node in nodes if isinstance(node, ast.Constant)]
    known = len(values) == len(nodes) and all(isinstance(value, int | float) for value in values)
    return values if known else None


def _evaluated(node: ast.expr, operands: list[ast.expr], operation: Callable[..., Any] | None) -> ast.expr:
    """The expression's value, where its operands are numbers; otherwise the expression."""
    values = _constants(operands)
    if values is None or operation is None:
        return node
    try:
        return ast.copy_location(ast.Constant(operation(*values)), node)
    except (ArithmeticError, TypeError, ValueError):  # left to the compiler, which says what is wrong
        return node


def _joined(node: ast.BoolOp, values: list[ast.expr], truth: bool) -> ast.expr:
    """`and`, `or` of values, without values that decide nothing.

    truth : only the truth of the result matters. Otherwise `x and True` must not become x.
    """
    decides = isinstance(node.op, ast.Or)
    kept: list[ast.expr] = []
    for value in values:
        if not isinstance(value, ast.Constant):
            kept.append(value)
        elif bool(value.value) == decides:
            if truth and all(map(_is_pure, kept)):
                return ast.copy_location(ast.Constant(decides), node)
            kept.append(value)
            break
        elif not truth and value is values[-1]:
            kept.append(value)
    if not kept:
        return ast.copy_location(ast.Constant(not decides), node)
    node.values = kept
    return node if len(kept) > 1 else kept[0]


def _is_truth(node: ast.expr) -> bool:
    """Whether an expression is True or False, and no other value."""
    if isinstance(node, ast.BoolOp):
        return all(map(_is_truth, node.values))
    negated = isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not)
    return negated or isinstance(node, ast.Compare) or (isinstance(node, ast.Constant) and isinstance(node.value, bool))


def _is_pure(node: ast.expr) -> bool:
    return not any(isinstance(inner, ast.Call | ast.NamedExpr) for inner in ast.walk(node))
