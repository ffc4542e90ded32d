"""The values of the indices for which an alternative is kept, in blocks of bounded size.

Values are listed with the last index fastest. A condition is judged as soon as all of its indices are listed, so that
few of the products that it excludes are ever made. For CKY with 40 words and 20 symbols its condition is judged on
1.3·10⁶ rows, and the 8.5·10⁷ edges that it keeps are listed; the full product has 5.4·10⁸ rows.
"""

from __future__ import annotations

import ast
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dagdp.language.arithmetic import Data, Environment, Fault, Value, both, evaluate, from_the_end
from dagdp.language.syntax import names_in

Array = NDArray[Any]
AT_ONCE = 1 << 20  # rows that are listed together: their arrays take some 10 MB each


@dataclass(frozen=True)
class InRange:
    """The condition that a subscript of a table is a place of its axis."""

    subscript: ast.expr
    size: int

    def judge(self, environment: Environment, data: Data) -> Value:
        value = evaluate(self.subscript, environment, data)
        numbers = from_the_end(self.subscript, value.numbers, self.size)
        return Value(np.asarray((numbers >= 0) & (numbers < self.size)), value.faults)

    @property
    def names(self) -> set[str]:
        return names_in(self.subscript)


@dataclass(frozen=True)
class Holds:
    """A condition of when(...)."""

    condition: ast.expr

    def judge(self, environment: Environment, data: Data) -> Value:
        value = evaluate(self.condition, environment, data)
        return Value(np.asarray(value.numbers, bool), value.faults)

    @property
    def names(self) -> set[str]:
        return names_in(self.condition)


Condition = InRange | Holds


@dataclass(frozen=True)
class Block:
    """Values of the indices: the first axis lists rows, and the further ones are those of indices not yet listed."""

    environment: dict[str, Array]
    shape: tuple[int, ...]  # of the product
    faulty: bool = False  # whether a condition has a fault at a kept value

    @property
    def size(self) -> int:
        """Kept values of all indices together."""
        return math.prod(self.shape)

    def spread(self, numbers: Any) -> Array:
        """One number for each kept value."""
        return np.broadcast_to(numbers, self.shape).reshape(-1)


@dataclass(frozen=True)
class Rows:
    """Values of the first indices, listed: an array [rows] for each."""

    values: dict[str, Array]
    count: int
    faulty: Array | None = None  # [rows] whether a condition has a fault: later conditions do not drop such a row

    def part(self, first: int, last: int) -> Rows:
        """Rows [first, last)."""
        faulty = None if self.faulty is None else self.faulty[first:last]
        values = {name: one[first:last] for name, one in self.values.items()}
        return Rows(values, min(last, self.count) - first, faulty)


@dataclass(frozen=True)
class Domain:
    """The indices of an alternative in the order of listing, with what must hold for a value to be kept.

    ranges : {index: values}.
    places : conditions without faults: subscripts of tables that read no data. They are judged in any order.
    conditions : the others, judged one after another, as operands of `and`.
    """

    ranges: Mapping[str, Array]
    places: tuple[InRange, ...]
    conditions: tuple[Condition, ...]
    data: Data

    def blocks(self) -> Iterator[Block]:
        """The kept values. A block says whether a condition has a fault there: see `fault`."""
        domain = self._narrowed()
        if domain is None:
            return
        names = list(domain.ranges)
        if not names:
            yield from domain._expand(Rows({}, 1), [], 0)
        else:
            first = domain.ranges[names[0]]
            yield from domain._expand(Rows({names[0]: first}, first.size), names[1:], 0)

    def fault(self, block: Block) -> Fault:
        """The first fault of a condition at a kept value, in a block that has one."""
        value = Value(np.asarray(True))
        for condition in self.conditions:
            value = both(value, condition.judge(block.environment, self.data))
        return next(one for one in value.faults if one.places.any())

    def _narrowed(self) -> Domain | None:
        """The domain with shorter ranges in place of conditions on one index alone; None if nothing is kept."""
        ranges = dict(self.ranges)
        left: list[Condition] = []
        faulty = False  # a condition behind one with a fault does not excuse it
        for condition in (*self.places, *self.conditions):
            names = condition.names & set(ranges)
            if len(names) > 1 or faulty:
                left.append(condition)
                continue
            value = condition.judge({name: ranges[name] for name in names}, self.data)
            if value.faults:
                faulty = True
                left.append(condition)
            elif names:
                (name,) = names
                ranges[name] = ranges[name][np.broadcast_to(value.numbers, ranges[name].shape)]
            elif not value.numbers.all():
                return None
        places = tuple(one for one in left if isinstance(one, InRange) and one in self.places)
        return Domain(ranges, places, tuple(one for one in left if one in self.conditions), self.data)

    def _expand(self, rows: Rows, rest: list[str], done: int) -> Iterator[Block]:
        """The kept values of the rows and of the indices `rest`, which are not listed yet.

        done : how many indices were listed when conditions were last judged.
        """
        sizes = [self.ranges[name].size for name in rest]
        if rows.count == 0 or 0 in sizes:
            return
        stage = min((one for one in self._stages if one > done), default=None)
        more = len(rest) if stage is None else max(stage - len(rows.values), 0)
        step = max(1, AT_ONCE // max(1, math.prod(sizes[:more])))
        for first in range(0, rows.count, step):
            part = rows.part(first, first + step)
            if stage is None:
                yield self._block(part, rest)
            else:
                yield from self._expand(self._kept(part, rest[:more], (done, stage)), rest[more:], stage)

    @cached_property
    def _stages(self) -> list[int]:
        """How many indices must be listed for each of `places` and `conditions`. A condition waits for earlier ones."""
        names = list(self.ranges)

        def needed(condition: Condition) -> int:
            return max((names.index(name) + 1 for name in condition.names if name in names), default=1)

        waits = list(accumulate(map(needed, self.conditions), max))
        return [*map(needed, self.places), *waits]

    def _kept(self, rows: Rows, more: list[str], stages: tuple[int, int]) -> Rows:
        """The rows of the product with further indices at which the conditions of these stages hold."""
        done, stage = stages
        block = self._block(rows, more)
        inside: Any = np.asarray(True)
        value = Value(np.asarray(True))
        for number, (condition, own) in enumerate(zip((*self.places, *self.conditions), self._stages, strict=True)):
            if done < own <= stage:
                judged = condition.judge(block.environment, self.data)
                if number < len(self.places):
                    inside = inside & judged.numbers
                else:
                    value = both(value, judged)
        faulty: Any = value.faulty
        if rows.faulty is not None:
            faulty = faulty | rows.faulty.reshape(-1, *[1] * len(more))
        keep = np.flatnonzero(block.spread(inside & (value.numbers | faulty)))
        places = np.unravel_index(keep, block.shape)
        values = {name: one[places[0]] for name, one in rows.values.items()}
        values |= {name: self.ranges[name][place] for name, place in zip(more, places[1:], strict=True)}
        return Rows(values, keep.size, block.spread(faulty)[keep] if np.any(faulty) else None)

    def _block(self, rows: Rows, rest: Sequence[str]) -> Block:
        axes = len(rest)
        environment = {name: one.reshape(-1, *[1] * axes) for name, one in rows.values.items()}
        for axis, name in enumerate(rest):
            environment[name] = self.ranges[name].reshape(-1, *[1] * (axes - 1 - axis))
        shape = (rows.count, *(self.ranges[name].size for name in rest))
        return Block(environment, shape, rows.faulty is not None and bool(rows.faulty.any()))
