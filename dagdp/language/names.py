"""The names of a text in their roles, and the expressions of subscripts, conditions and coefficients."""

from __future__ import annotations

import ast
import difflib
from collections.abc import Sequence
from dataclasses import dataclass, field

from dagdp.errors import GraphError
from dagdp.language.declarations import Declarations
from dagdp.language.source import Source
from dagdp.language.syntax import subscripts_of

#: Nodes of Python's syntax tree that these expressions may contain, beside names and data.
ARITHMETIC = (
    ast.BinOp, ast.UnaryOp, ast.BoolOp, ast.Compare, ast.Add, ast.Sub, ast.Mult, ast.FloorDiv, ast.Mod, ast.USub,
    ast.UAdd, ast.Not, ast.And, ast.Or, ast.Eq, ast.NotEq, ast.Lt, ast.LtE, ast.Gt, ast.GtE, ast.Load,
)  # fmt: skip
Scope = tuple[str, ...]  # the indices that have a value at a place of the text


@dataclass
class Names:
    """The tables that lines define, and what keywords declare."""

    source: Source
    declarations: Declarations
    tables: dict[str, int] = field(default_factory=dict)  # {name: axes}
    binder: str = "max"  # the function of the text that binds indices

    def is_number(self, node: ast.expr) -> bool:
        """Whether an expression is made of numbers, indices and data alone."""
        if isinstance(node, ast.Call):
            return isinstance(node.func, ast.Name) and node.func.id == "abs"
        names = [one.id for one in ast.walk(node) if isinstance(one, ast.Name)]
        calls = any(isinstance(one, ast.Call) for one in ast.walk(node))
        return not calls and all(name in self.declarations for name in names)

    def check_arithmetic(self, node: ast.expr, scope: Scope) -> None:
        """Raise GraphError unless the expression is one of subscripts and conditions, and its names have a value."""
        match node:
            case ast.Name():
                self.check_name(node, scope)
            case ast.Subscript(value=ast.Name()):
                self.check_data(node, scope)
            case ast.Call(func=ast.Name(id="abs"), args=[argument], keywords=[]):
                self.check_arithmetic(argument, scope)
            case ast.Constant() if isinstance(node.value, int | float):
                pass
            case _ if isinstance(node, ARITHMETIC):
                for child in ast.iter_child_nodes(node):
                    if isinstance(child, ast.expr):
                        self.check_arithmetic(child, scope)
                    elif not isinstance(child, ARITHMETIC):
                        raise self.not_arithmetic(node)
            case _:
                raise self.not_arithmetic(node)

    def check_name(self, node: ast.Name, scope: Scope) -> None:
        name, declarations = node.id, self.declarations
        if name in scope:
            return
        if name in declarations.indices:
            raise self.error(
                node,
                f"{name} has no value here; bind it on the left side, or by {self.binder}[{name}](...) around this "
                f"term. If a constant is meant, declare data: {name}=np.array(...)",
            )
        if name not in declarations.data:
            raise self.unknown(node, declarations.names)
        if declarations.data[name].ndim:
            raise self.error(
                node, f"{name} is read without subscripts; the data has {counted(declarations.data[name].ndim)}"
            )

    def check_data(self, node: ast.Subscript, scope: Scope) -> None:
        assert isinstance(node.value, ast.Name)
        name, subscripts = node.value.id, subscripts_of(node)
        if name not in self.declarations.data:
            if name in self.declarations.indices:
                raise self.error(
                    node, f"{name} is an index, as it was given a number, a range or a pair; for data give a list"
                )
            if name in self.tables:
                raise self.error(node, f"{name} is a table; subscripts and conditions read data alone")
            raise self.unknown(node.value, tuple(self.declarations.data))
        axes = self.declarations.data[name].ndim
        if axes != len(subscripts):
            raise self.error(node, f"{name} is read with {counted(len(subscripts))}; the data has {counted(axes)}")
        for subscript in subscripts:
            self.check_arithmetic(subscript, scope)

    def error(self, node: ast.AST, message: str) -> GraphError:
        return self.source.error(node, message)

    def unknown(self, node: ast.Name, names: Sequence[str]) -> GraphError:
        """For a name that nothing declares."""
        near = difflib.get_close_matches(node.id, names, 1, 0.0) if len(node.id) > 1 else []  # letters are all alike
        hint = f"did you mean {near[0]}? Or declare" if near else "declare"
        return self.error(node, f"{node.id} is not declared; {hint} it, as by recurrence(text, {node.id}=...)")

    def not_arithmetic(self, node: ast.expr) -> GraphError:
        return self.error(
            node,
            f"{self.source.written(node)} cannot stand in a subscript, a condition or a coefficient; expected numbers, "
            "indices and data with + - * // %, abs, comparisons, and, or, not",
        )


def counted(count: int) -> str:
    """A number of subscripts as text."""
    return "no subscript" if count == 0 else f"{count} subscript{'s' if count > 1 else ''}"
