"""A slow interpreter of recurrences: it evaluates the text cell by cell, and knows nothing of graphs.

It shares no code with `dagdp.language`. A cell is the soft maximum of a list of numbers, found by recursion.
"""

from __future__ import annotations

import ast
import itertools
import math
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

Numbers = list[float]
Maximum = Callable[[Numbers], float]


def log_sum_exp(numbers: Numbers) -> float:
    top = max(numbers)
    return top if math.isinf(top) else top + math.log(sum(math.exp(one - top) for one in numbers))


class Interpreter:
    """The value of a text. keywords : indices and data. theta : {potential: nested lists, or an array}."""

    def __init__(self, text: str, keywords: Mapping[str, Any], theta: Mapping[str, Any], maximum: Maximum) -> None:
        lines = ast.parse(textwrap.dedent(text)).body
        self.indices = {name: _range(value) for name, value in keywords.items() if _range(value) is not None}
        self.data = {name: value for name, value in keywords.items() if name not in self.indices}
        self.theta, self.maximum = theta, maximum
        self.sign = -1.0 if " min" in text.replace("(", " ") else 1.0
        self.result = lines[-1].value
        self.rules: dict[tuple[str, tuple[int, ...]], list[tuple[ast.expr, dict[str, int]]]] = {}
        self.sizes: dict[str, list[int]] = {}
        for line in lines[:-1]:
            name, places = self._target(line.targets[0])
            sizes = self.sizes.setdefault(name, [0] * len(places))
            for axis, place in enumerate(places):
                if isinstance(place, ast.Name):
                    sizes[axis] = max(sizes[axis], max(self.indices[place.id]) + 1)
                elif isinstance(place, ast.Constant):
                    sizes[axis] = max(sizes[axis], place.value + 1)
        for line in lines[:-1]:
            name, places = self._target(line.targets[0])
            free = sorted({n.id for p in places for n in ast.walk(p) if isinstance(n, ast.Name)} & set(self.indices))
            for values in itertools.product(*(self.indices[one] for one in free)):
                scope = dict(zip(free, values, strict=True))
                cell = self._place(name, places, scope)
                if cell is not None:
                    self.rules.setdefault((name, cell), []).append((line.value, scope))
        self.known: dict[tuple[str, tuple[int, ...]], float] = {}

    def value(self) -> float:
        """Of `return`."""
        return self.sign * self._best(list(self._terms(self.result, {})))

    def cell(self, name: str, place: tuple[int, ...]) -> float:
        """Of a cell; -inf (a score) where it has no alternative."""
        key = name, place
        if key not in self.known:
            terms = [one for right, scope in self.rules.get(key, []) for one in self._terms(right, scope)]
            self.known[key] = self._best(terms)
        return self.known[key]

    def _best(self, terms: Numbers) -> float:
        return self.maximum(terms) if terms else -math.inf

    @staticmethod
    def _target(target: ast.expr) -> tuple[str, Sequence[ast.expr]]:
        if isinstance(target, ast.Name):
            return target.id, ()
        assert isinstance(target, ast.Subscript) and isinstance(target.value, ast.Name)
        return target.value.id, target.slice.elts if isinstance(target.slice, ast.Tuple) else (target.slice,)

    def _place(self, name: str, places: Sequence[ast.expr], scope: Mapping[str, int]) -> tuple[int, ...] | None:
        """The place in a table; None outside it."""
        found = []
        for place, size in zip(places, self.sizes[name], strict=True):
            number = self._number(place, scope)
            if not any(isinstance(one, ast.Name) for one in ast.walk(place)) and number < 0:
                number += size
            if not 0 <= number < size:
                return None
            found.append(int(number))
        return tuple(found)

    def _number(self, node: ast.expr, scope: Mapping[str, int]) -> Any:
        """A subscript, a condition or a coefficient, by Python's own arithmetic."""
        names = {**scope, **self.data, "abs": abs}
        return eval(compile(ast.Expression(node), "<subscript>", "eval"), {"__builtins__": {}}, names)

    def _terms(self, node: ast.expr, scope: dict[str, int]) -> Iterator[float]:
        """The scores of all alternatives."""
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
            right = list(self._terms(node.right, scope))
            yield from (a + b for a in self._terms(node.left, scope) for b in right)
        elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Sub):
            right = list(self._terms(node.right, scope))
            yield from (a - b for a in self._terms(node.left, scope) for b in right)
        elif isinstance(node, ast.BinOp):
            factor = self._number(node.left, scope)
            yield from (factor * one for one in self._terms(node.right, scope))
        elif isinstance(node, ast.UnaryOp):
            yield from (-one for one in self._terms(node.operand, scope))
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "when":
            if self._number(node.args[0], scope):
                yield from self._terms(node.args[1], scope)
        elif isinstance(node, ast.Call):
            bound = []
            if isinstance(node.func, ast.Subscript):
                listed = node.func.slice
                bound = [one.id for one in (listed.elts if isinstance(listed, ast.Tuple) else [listed])]
            for values in itertools.product(*(self.indices[one] for one in bound)):
                for argument in node.args:
                    yield from self._terms(argument, {**scope, **dict(zip(bound, values, strict=True))})
        elif isinstance(node, ast.Constant):
            yield 0.0
        else:
            name, places = self._target(node)
            if name in self.sizes:
                cell = self._place(name, places, scope)
                if cell is not None:
                    yield self.cell(name, cell)
            else:
                entry = self.theta[name]
                for place in places:
                    entry = entry[self._number(place, scope)]
                yield self.sign * float(entry)


def _range(value: Any) -> Any:
    if isinstance(value, range):
        return value
    if isinstance(value, tuple):
        return range(*value)
    return range(value) if isinstance(value, int) and not isinstance(value, bool) else None
