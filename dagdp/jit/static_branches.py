"""Branches that the types of a function's arguments decide: the other side is dropped before Numba looks at it.

A kernel is built for what a call needs. What it does without is None in its arguments (a tangent, potentials on edges,
rows of samples), and what an operator is stands in its type. Numba types and lowers both sides of a branch, of which
LLVM then throws one away: that took a third of the time to compile.
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

# Questions that the types of what they are asked of answer.
FACTS: dict[Any, Callable[..., bool]] = {}


def fact(question: Any) -> Callable[[Callable[..., bool]], Callable[..., bool]]:
    """Declare that the decorated function answers `question` in compiled code: it is given types."""

    def declared(answer: Callable[..., bool]) -> Callable[..., bool]:
        FACTS[question] = answer
        return answer

    return declared


class _Known:
    """What is known of the variables of a function, from the types that it is called with."""

    def __init__(self, text: Any, given: Any) -> None:
        self.text, self.given = text, given

    def definition(self, value: Any) -> Any:
        """The only expression that a variable is given, or None."""
        while isinstance(value, ir.Var):
            found = self.text._definitions.get(value.name, [])
            if len(found) != 1:
                return None
            value = found[0]
        return value

    def kind(self, value: Any) -> Any:
        """A variable's type: of an argument, or of a field or element of one; else None."""
        found = self.definition(value)
        if isinstance(found, ir.Arg):
            return self.given[found.index]
        if isinstance(found, ir.Const):
            return types.none if found.value is None else None
        if not isinstance(found, ir.Expr) or found.op not in ("exhaust_iter", "static_getitem", "getitem", "getattr"):
            return None
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

    def answer(self, found: Any) -> bool | None:
        """The truth of an expression, where it is known."""
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
            return self.asked(getattr(self.definition(found.func), "value", None), found.args)
        return None

    def asked(self, function: Any, arguments: Any) -> bool | None:
        """The same of a call."""
        if function is bool:
            return self.truth(arguments[0])
        if not isinstance(function, Callable) or function not in FACTS:  # type: ignore[arg-type]
            return None
        kinds = [self.kind(argument) for argument in arguments]
        return None if None in kinds else FACTS[function](*kinds)

    def truth(self, value: Any) -> bool | None:
        """The truth of a variable."""
        return False if self.kind(value) == types.none else self.answer(self.definition(value))


def _decide(text: Any, given: Any) -> bool:
    """Write down what is known, and jump where a branch is decided; whether there was one."""
    known = _Known(text, given)
    jumped, asked = False, set()
    for block in text.blocks.values():
        for statement in block.body:
            if isinstance(statement, ir.Assign) and isinstance(statement.value, ir.Expr):
                answer = known.answer(statement.value)
                if answer is not None:
                    asked.add(statement.value.func.name if statement.value.op == "call" else "")
                    statement.value = ir.Const(answer, statement.loc)
        end = block.body[-1]
        if isinstance(end, ir.Branch):
            way = known.truth(end.cond)
            if way is not None:
                block.body[-1] = ir.Jump(end.truebr if way else end.falsebr, end.loc)
                jumped = True
    for block in text.blocks.values():
        block.body = [s for s in block.body if not (isinstance(s, ir.Assign) and s.target.name in asked)]
    return jumped


@register_pass(mutates_CFG=True, analysis_only=False)
class Decided(FunctionPass):
    """Goes before all that Numba does with a function's text."""

    _name = "dagdp_decided"

    def __init__(self) -> None:
        FunctionPass.__init__(self)

    def run_pass(self, state: Any) -> bool:
        text = state.func_ir
        changed = False
        while _decide(text, state.args):  # what a dropped branch gave a variable is no longer in the way
            changed = True
            for dead in compute_cfg_from_blocks(text.blocks).dead_nodes():
                del text.blocks[dead]
            text._definitions = build_definitions(text.blocks)
        return changed
