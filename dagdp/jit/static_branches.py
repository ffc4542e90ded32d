"""Static branch elimination: a branch that the argument types decide is resolved before type inference.

A kernel is compiled for what a call needs. An argument that the call does not need (a tangent, potentials on edges,
rows of samples) is None, and an operator's kind is part of its type. A test `x is None`, or a static predicate of the
operator, is then known, and the dead side of its branch is dropped. Without this pass Numba would type and lower both
sides, of which LLVM drops one later: that took a third of the compile time.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

from numba.core import ir, types
from numba.core.analysis import compute_cfg_from_blocks
from numba.core.compiler_machinery import FunctionPass, register_pass
from numba.core.ir_utils import build_definitions
from numba.core.types.containers import BaseTuple

# Predicates whose value follows from the types of their arguments.
PREDICATES: dict[Any, Callable[..., bool]] = {}


def static_predicate(predicate: Any) -> Callable[[Callable[..., bool]], Callable[..., bool]]:
    """Declare that the decorated function gives the value of `predicate` in compiled code, from the argument types."""

    def declared(value: Callable[..., bool]) -> Callable[..., bool]:
        PREDICATES[predicate] = value
        return value

    return declared


class _StaticValues:
    """Types and truth values of a function's variables, as far as they follow from its argument types."""

    def __init__(self, text: Any, given: Any) -> None:
        self.text, self.given = text, given

    def definition(self, value: Any) -> Any:
        """The only expression that is assigned to a variable, or None."""
        while isinstance(value, ir.Var):
            found = self.text._definitions.get(value.name, [])
            if len(found) != 1:
                return None
            value = found[0]
        return value

    def kind(self, value: Any) -> Any:
        """The type of an argument, or of a field or element of an argument; None for any other variable."""
        found = self.definition(value)
        if isinstance(found, ir.Arg):
            return self.given[found.index]
        if isinstance(found, ir.Const):
            return types.none if found.value is None else None
        if not isinstance(found, ir.Expr) or found.op not in ("exhaust_iter", "static_getitem", "getitem", "getattr"):
            return None
        element = self.element(found)
        if element is not None:
            return self.kind(element)
        owner = self.kind(found.value)
        if found.op == "exhaust_iter":
            return owner
        if not isinstance(owner, BaseTuple):
            return None
        if found.op == "getattr":
            fields = getattr(owner, "fields", ())
            return owner[fields.index(found.attr)] if found.attr in fields else None
        place = self.definition(found.index) if found.op == "getitem" else ir.Const(found.index, found.loc)
        known = isinstance(place, ir.Const) and isinstance(place.value, int)
        return owner[place.value] if known else None

    def element(self, found: ir.Expr) -> Any:
        """The variable that `a, b, ... = x, y, ...` assigns, where that is how the expression came about; else None."""
        if found.op != "static_getitem":
            return None
        owner = self.definition(found.value)
        if isinstance(owner, ir.Expr) and owner.op == "exhaust_iter":
            owner = self.definition(owner.value)
        built = isinstance(owner, ir.Expr) and owner.op == "build_tuple" and isinstance(found.index, int)
        return owner.items[found.index] if built else None

    def value(self, found: Any) -> bool | None:
        """The truth of an expression, or None where it is not static."""
        if isinstance(found, ir.Const) and isinstance(found.value, bool):
            return found.value
        if not isinstance(found, ir.Expr):
            return None
        if found.op == "unary" and found.fn in (operator.not_, "not"):
            inner = self.truth(found.value)
            return None if inner is None else not inner
        if found.op == "binop" and found.fn in (operator.is_, operator.is_not):
            sides = [self.kind(side) for side in (found.lhs, found.rhs)]
            if None in sides or types.none not in sides:
                return None
            return bool((sides[0] == sides[1]) == (found.fn is operator.is_))
        if found.op == "call" and not found.kws and not found.vararg:
            return self.call_value(getattr(self.definition(found.func), "value", None), found.args)
        return None

    def call_value(self, function: Any, arguments: Any) -> bool | None:
        """The truth of a call's result, or None where it is not static."""
        if function is bool:
            return self.truth(arguments[0])
        if not isinstance(function, Callable) or function not in PREDICATES:  # type: ignore[arg-type]
            return None
        kinds = [self.kind(argument) for argument in arguments]
        return None if None in kinds else PREDICATES[function](*kinds)

    def truth(self, value: Any) -> bool | None:
        """The truth of a variable, or None where it is not static."""
        return False if self.kind(value) == types.none else self.value(self.definition(value))


def _resolve(text: Any, given: Any) -> bool:
    """Replace static expressions by constants and static branches by jumps; return whether there was such a branch."""
    static = _StaticValues(text, given)
    jumped, unused = False, set()
    for block in text.blocks.values():
        for statement in block.body:
            if isinstance(statement, ir.Assign) and isinstance(statement.value, ir.Expr):
                value = static.value(statement.value)
                if value is not None:
                    unused.add(statement.value.func.name if statement.value.op == "call" else "")
                    statement.value = ir.Const(value, statement.loc)
        end = block.body[-1]
        if isinstance(end, ir.Branch):
            truth = static.truth(end.cond)
            if truth is not None:
                block.body[-1] = ir.Jump(end.truebr if truth else end.falsebr, end.loc)
                jumped = True
    for block in text.blocks.values():
        block.body = [s for s in block.body if not (isinstance(s, ir.Assign) and s.target.name in unused)]
    return jumped


@register_pass(mutates_CFG=True, analysis_only=False)
class StaticBranches(FunctionPass):
    """The compiler pass. It runs before all other passes that look at a function's text."""

    _name = "dagdp_static_branches"

    def __init__(self) -> None:
        FunctionPass.__init__(self)

    def run_pass(self, state: Any) -> bool:
        text = state.func_ir
        changed = False
        while _resolve(text, state.args):  # a dropped branch may leave a variable with one definition
            changed = True
            for dead in compute_cfg_from_blocks(text.blocks).dead_nodes():
                del text.blocks[dead]
            text._definitions = build_definitions(text.blocks)
        return changed
