"""PARSE: from the text to lines and alternatives. Everything that the syntax alone forbids is an error here.

`+` distributes over the alternatives of max(...) and min(...): a sum of two lists is their product, the left one
slowest. Nested maxima are one flat list for each cell.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import dataclass

from dagdp.errors import GraphError
from dagdp.language.declarations import RESERVED, Declarations
from dagdp.language.names import Names, Scope, counted
from dagdp.language.source import Source
from dagdp.language.syntax import Alternative, Line, Read, Text, subscripts_of, written_number


def parse(source: Source, declarations: Declarations) -> Text:
    """The lines of a text. Raises GraphError with the line and a caret."""
    statements = source.parsed()
    reader = _Reader(Names(source, declarations))
    for statement in statements:
        if isinstance(statement, ast.Assign):
            reader.add_table(statement)
    lines = [reader.line(statement, statement is statements[-1]) for statement in statements]
    if not statements or not isinstance(statements[-1], ast.Return):
        raise GraphError(
            f"the text has no `return`; expected a last line such as\n    return {_some_cell(lines)}\n"
            "that says which cells hold the value"
        )
    return Text(tuple(lines), reader.sense == "min")


def _some_cell(lines: Sequence[Line]) -> str:
    if not lines:
        return "v[-1]"
    axes = ", ".join("-1" for _ in lines[-1].subscripts)
    return f"{lines[-1].table}[{axes}]" if axes else str(lines[-1].table)


@dataclass
class _Reader:
    """The state of a parse: the names found so far, and whether the text maximises or minimises."""

    names: Names
    sense: str | None = None
    sense_line: int = 0

    # ---- Lines

    def add_table(self, statement: ast.Assign) -> None:
        """Note the table on the left side of a line."""
        target = statement.targets[0]
        name = target.value if isinstance(target, ast.Subscript) else target
        if len(statement.targets) > 1 or not isinstance(name, ast.Name):
            raise self.error(target, "expected one cell on the left of =, such as v[t, i] = ...")
        axes = len(subscripts_of(target)) if isinstance(target, ast.Subscript) else 0
        known = self.names.tables.setdefault(name.id, axes)
        if name.id in self.names.declarations or name.id in RESERVED:
            role = self.names.declarations.role(name.id) if name.id in self.names.declarations else "a function"
            raise self.error(name, f"{name.id} is a table here and {role} elsewhere; expected two names")
        if known != axes:
            raise self.error(
                target, f"{name.id} has {counted(axes)} here and {counted(known)} above; expected one number"
            )

    def line(self, statement: ast.stmt, last: bool) -> Line:
        """The line of a statement."""
        if isinstance(statement, ast.Return) and last:
            if statement.value is None:
                raise self.error(statement, "`return` says nothing; expected cells, such as return v[-1]")
            return Line(None, (), (), self.alternatives(statement.value, ()), statement)
        if isinstance(statement, ast.Return):
            raise self.error(statement, "`return` stands before other lines; expected it once, as the last line")
        if not isinstance(statement, ast.Assign):
            raise self.error(statement, "expected a line such as v[t, i] = ..., or return ...")
        target = statement.targets[0]
        subscripts = subscripts_of(target) if isinstance(target, ast.Subscript) else ()
        indices = tuple(dict.fromkeys(name.id for one in subscripts for name in self.indices_in(one)))
        for subscript in subscripts:
            self.names.check_arithmetic(subscript, indices)
        name = target.value if isinstance(target, ast.Subscript) else target
        assert isinstance(name, ast.Name)
        return Line(name.id, subscripts, indices, self.alternatives(statement.value, indices), statement)

    def indices_in(self, node: ast.expr) -> list[ast.Name]:
        """The indices that an expression reads, in the order in which they are written."""
        found = [
            one for one in ast.walk(node) if isinstance(one, ast.Name) and one.id in self.names.declarations.indices
        ]
        return sorted(found, key=lambda one: (one.lineno, one.col_offset))

    # ---- Alternatives

    def alternatives(self, node: ast.expr, scope: Scope) -> tuple[Alternative, ...]:
        """The alternatives that an expression lists."""
        match node:
            case ast.BinOp(op=ast.Add()):
                return self.sums(node, self.alternatives(node.left, scope), self.alternatives(node.right, scope))
            case ast.BinOp(op=ast.Sub()):
                return self.sums(node, self.alternatives(node.left, scope), self.scaled(node.right, -1.0, (), scope))
            case ast.BinOp(op=ast.Mult()):
                return self.product(node, scope)
            case ast.UnaryOp(op=ast.USub()):
                return self.scaled(node.operand, -1.0, (), scope)
            case ast.UnaryOp(op=ast.UAdd()):
                return self.alternatives(node.operand, scope)
            case ast.Call(func=ast.Subscript(value=ast.Name(id="max" | "min"))) | ast.Call(func=ast.Name()):
                return self.call(node, scope)
            case ast.Constant(value=0) if not isinstance(node.value, bool):
                return (Alternative((), (), (), (), node),)
            case ast.Name() | ast.Subscript(value=ast.Name()) if not self.names.is_number(node):
                return (self.read(node, scope),)
        raise self.not_a_term(node)

    def read(self, node: ast.Name | ast.Subscript, scope: Scope) -> Alternative:
        """The alternative of one term."""
        name = node if isinstance(node, ast.Name) else node.value
        assert isinstance(name, ast.Name)
        subscripts = () if isinstance(node, ast.Name) else subscripts_of(node)
        for subscript in subscripts:
            self.names.check_arithmetic(subscript, scope)
        read = Read(name.id, subscripts, 1.0, (), node)
        if name.id in RESERVED:
            raise self.error(node, f"{name.id} is a function; expected {name.id}(...)")
        if name.id not in self.names.tables:
            return Alternative((), (), (), (read,), node)
        axes = self.names.tables[name.id]
        if len(subscripts) != axes:
            raise self.error(node, f"{name.id} is read with {counted(len(subscripts))}; the table has {counted(axes)}")
        return Alternative((), (), (read,), (), node)

    def sums(
        self, node: ast.expr, left: tuple[Alternative, ...], right: tuple[Alternative, ...]
    ) -> tuple[Alternative, ...]:
        """The product of two lists of alternatives, the left one slowest."""
        return tuple(self.sum_of(node, a, b) for a in left for b in right)

    def sum_of(self, node: ast.expr, a: Alternative, b: Alternative) -> Alternative:
        bound = {name.id for name in a.bound}
        for name in b.bound:
            if name.id in bound:
                raise self.error(name, f"{name.id} is bound twice in one sum; bind another index on one side")
        tables = a.tables + b.tables
        if len(tables) > 2:
            raise self.error(
                tables[2].node,
                f"{self.written(tables[2].node)} is a third table in one sum; expected two at most: introduce a table "
                "for the sum of two of them",
            )
        return Alternative(a.bound + b.bound, a.conditions + b.conditions, tables, a.potentials + b.potentials, node)

    def product(self, node: ast.BinOp, scope: Scope) -> tuple[Alternative, ...]:
        """A coefficient times a term, in either order."""
        for factor, term in ((node.left, node.right), (node.right, node.left)):
            if self.names.is_number(factor):
                if self.names.is_number(term):
                    break
                number = _number(factor)
                if number is not None:
                    return self.scaled(term, number, (), scope)
                self.names.check_arithmetic(factor, scope)
                return self.scaled(term, 1.0, (factor,), scope)
        else:
            raise self.error(
                node,
                f"{self.written(node)} multiplies two terms; expected a sum: scores are linear in tables and "
                "potentials. A coefficient is a number, or data that a keyword declares",
            )
        raise self.not_a_term(node)

    def scaled(
        self, node: ast.expr, scale: float, factors: tuple[ast.expr, ...], scope: Scope
    ) -> tuple[Alternative, ...]:
        """The alternatives of an expression times a coefficient."""
        for call in (one for one in ast.walk(node) if isinstance(one, ast.Call)):
            name = call.func.value if isinstance(call.func, ast.Subscript) else call.func
            if isinstance(name, ast.Name) and name.id in ("max", "min"):
                raise self.error(
                    call, f"a coefficient stands before {name.id}; expected it at the potentials inside, such as -gap"
                )
        made = []
        for one in self.alternatives(node, scope):
            if one.tables:
                raise self.error(
                    one.tables[0].node,
                    f"{self.written(one.tables[0].node)} has a coefficient; expected it at a potential: a path counts "
                    "a cell once",
                )
            reads = [read._replace(scale=read.scale * scale, factors=read.factors + factors) for read in one.potentials]
            made.append(one._replace(potentials=tuple(reads)))
        return tuple(made)

    def call(self, node: ast.Call, scope: Scope) -> tuple[Alternative, ...]:
        """max(...), min(...), max[j](...), min[j](...) and when(...)."""
        function = node.func.value if isinstance(node.func, ast.Subscript) else node.func
        assert isinstance(function, ast.Name)
        if node.keywords or any(isinstance(one, ast.Starred) for one in node.args):
            raise self.error(node, f"{function.id} takes alternatives, one after another")
        if function.id == "when":
            return self.guarded(node, scope)
        if function.id not in ("max", "min"):
            raise self.error(node, f"{function.id}(...) is unknown; expected max, min or when")
        if self.sense not in (None, function.id):
            raise self.error(
                function,
                f"{function.id} stands beside the {self.sense} of line {self.sense_line}; expected one of them: a text "
                "is a maximum of scores, or a minimum of costs",
            )
        if self.sense is None:
            self.sense, self.sense_line = function.id, function.lineno
            self.names.binder = function.id
        if not node.args:
            raise self.error(node, f"{function.id} lists nothing; expected alternatives")
        bound = self.bound(node.func, scope) if isinstance(node.func, ast.Subscript) else ()
        inner = scope + tuple(name.id for name in bound)
        listed = [one for argument in node.args for one in self.alternatives(argument, inner)]
        return tuple(one._replace(bound=bound + one.bound) for one in listed)

    def bound(self, node: ast.Subscript, scope: Scope) -> tuple[ast.Name, ...]:
        """The indices that max[...] binds."""
        names: list[ast.Name] = []
        for one in subscripts_of(node):
            if not isinstance(one, ast.Name):
                raise self.error(one, f"{self.written(one)} is no index; expected names, such as max[j](...)")
            if one.id not in self.names.declarations.indices:
                raise self.names.unknown(one, tuple(self.names.declarations.indices))
            if one.id in scope or one.id in {name.id for name in names}:
                raise self.error(one, f"{one.id} is bound twice; it has a value here. Bind another index")
            names.append(one)
        return tuple(names)

    def guarded(self, node: ast.Call, scope: Scope) -> tuple[Alternative, ...]:
        """when(condition, term)."""
        if isinstance(node.func, ast.Subscript) or len(node.args) != 2:
            raise self.error(node, "expected when(condition, term)")
        condition, term = node.args
        self.names.check_arithmetic(condition, scope)
        listed = self.alternatives(term, scope)
        return tuple(one._replace(conditions=(condition, *one.conditions)) for one in listed)

    # ---- Errors

    def error(self, node: ast.AST, message: str) -> GraphError:
        return self.names.error(node, message)

    def written(self, node: ast.AST) -> str:
        return self.names.source.written(node)

    def not_a_term(self, node: ast.expr) -> GraphError:
        if self.names.is_number(node) and not isinstance(node, ast.Compare | ast.BoolOp):
            return self.error(
                node,
                f"{self.written(node)} is a number as a term; expected a potential: give it a name, and its value in "
                "theta",
            )
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div):
            return self.error(
                node, f"{self.written(node)} divides a term; expected a coefficient in front of it, such as 0.5 * a"
            )
        return self.error(
            node,
            f"{self.written(node)} is no term; expected cells of tables, potentials with coefficients, 0, "
            "max(...), min(...) or when(condition, term), joined by + and -",
        )


def _number(node: ast.expr) -> float | None:
    """The value of a coefficient that is written as a number."""
    if isinstance(node, ast.Constant) and isinstance(node.value, int | float) and not isinstance(node.value, bool):
        return float(node.value)
    whole = written_number(node)
    if whole is None and isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        inner = _number(node.operand)
        return None if inner is None else -inner
    return None if whole is None else float(whole)
