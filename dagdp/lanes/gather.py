"""Rows of one sample that stand nowhere as rows: each element's place is listed.

Each function is compiled once for a kernel and called, not repeated wherever it is used: its body is a hundred
instructions, beside which a call is nothing. Elements are moved one by one, and put together in registers: a row that
is stored element by element cannot be loaded before its stores have reached L1, and the gather instruction is slower
(16 float32 in L1: 4.6 ns against 2.6 on Zen 5, 9.8 against 7.2 on Zen 3).

Most rows are whole, and no place is absent: that is asked once, and they go straight. Otherwise lanes that do not count
are left out four at a time, and what else is no element is looked for at a place of the function's own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from dagdp.lanes.rows import ROW_BYTES, Lanes
from dagdp.lanes.views import ask

GROUP = 4  # lanes that are left out together
I32, I64 = ir.IntType(32), ir.IntType(64)
INF = float("inf")


class Move(NamedTuple):
    """What is done with the elements that a list names."""

    name: str
    step: Callable[[Body, int, list[Any], list[Any]], list[Any]]  # (body, lane, its elements, parts) -> parts
    gathered: tuple[float, ...] = ()  # for each row that is gathered, what lanes hold that are no elements
    absent: bool = False  # whether -1 may be listed, where there is no element


def _number(k: int) -> Any:
    return ir.Constant(I64, k)


def _least(builder: Any, a: Any, b: Any) -> Any:
    return builder.select(builder.icmp_signed("<", a, b), a, b)


def _repeated(element: Any, value: float, count: int) -> Any:
    return ir.Constant(ir.VectorType(element, count), [value] * count)


class Body:
    """The text of a function f(arrays, places, count, [row]) that makes a move."""

    def __init__(self, move: Move, function: Any, arrays: int, size: int) -> None:
        self.move, self.function, self.size = move, function, size
        self.arrays, (self.places, self.count, *row) = function.args[:arrays], function.args[arrays:]
        self.row = row[0] if row else None
        self.builder = b = ir.IRBuilder(function.append_basic_block())
        elements = [array.type.pointee for array in self.arrays]
        values = list(zip(elements, move.gathered or (0.0,), strict=True))
        none, parts = ([_repeated(element, value, n) for element, value in values] for n in (size, GROUP))
        self.none = (none, parts) if move.gathered else ([], [])  # rows, and parts of rows, of no elements
        self.elsewhere = []  # a place for each lane: none waits for another
        for row_of_none, array in zip(none, self.arrays, strict=True):
            place = b.alloca(row_of_none.type)
            b.store(row_of_none, place)
            self.elsewhere.append(b.bitcast(place, array.type))

    def lane(self, k: int) -> Any:
        return self.builder.extract_element(self.row, ir.Constant(I32, k))

    def _elements(self, k: Any) -> Any:
        """(where the k-th element is in each array, whether there is one)."""
        b = self.builder
        place = b.sext(b.load(b.gep(self.places, [k])), I64)
        return [b.gep(array, [place]) for array in self.arrays], b.icmp_signed(">=", place, _number(0))

    def _hand_back(self, rows: list[Any]) -> None:
        if len(rows) < 2:
            self.builder.ret(rows[0]) if rows else self.builder.ret_void()
            return
        made = ir.Constant(self.function.ftype.return_type, ir.Undefined)
        for k, row in enumerate(rows):
            made = self.builder.insert_value(made, row, k)
        self.builder.ret(made)

    def _straight(self) -> Any:
        """Go on where all lanes are elements; the block for other rows."""
        b = self.builder
        straight, other = self.function.append_basic_block(), self.function.append_basic_block()
        whole = self.function.append_basic_block() if self.move.absent else straight
        b.cbranch(b.icmp_signed(">=", self.count, _number(self.size)), whole, other)
        if self.move.absent:
            b.position_at_end(whole)
            index, truths, place = ir.VectorType(I32, self.size), ir.IntType(self.size), self.places.type
            # Not to be known as the numbers that are loaded below: LLVM would take those from the vector, one by one.
            again = b.asm(ir.FunctionType(place, [place]), "", "=r,0", [self.places], side_effect=False)
            listed = b.load(b.bitcast(again, index.as_pointer()))
            listed.align = 4
            there = b.icmp_signed(">=", listed, ir.Constant(index, [0] * self.size))
            nothing = self.function.append_basic_block()
            which = b.switch(b.bitcast(there, truths), other)
            which.add_case(truths(-1), straight)
            which.add_case(truths(0), nothing)
            b.position_at_end(nothing)
            self._hand_back(self.none[0])
        b.position_at_end(straight)
        return other

    def _group(self, first: int, whole: bool) -> list[Any]:
        """What the move gathers in a few lanes; all of them are elements, or some."""
        b, parts = self.builder, self.none[1]
        last = b.sub(self.count, _number(1))
        for k in range(first, first + GROUP):
            places, there = self._elements(_number(k) if whole else _least(b, _number(k), last))
            if not whole:
                counts = b.icmp_signed("<", _number(k), self.count)
                real = b.and_(counts, there) if self.move.absent else counts
                own = [b.gep(place, [_number(k)]) for place in self.elsewhere]
                places = [b.select(real, *pair) for pair in zip(places, own, strict=True)]
            parts = self.move.step(self, k, places, parts)
        return parts

    def _joined(self, groups: list[list[Any]]) -> list[Any]:
        """Rows from their parts."""
        rows = []
        for parts in zip(*groups, strict=True):
            vectors = list(parts)
            while len(vectors) > 1:
                size = 2 * vectors[0].type.count
                order = ir.Constant(ir.VectorType(I32, size), list(range(size)))
                pairs = zip(vectors[::2], vectors[1::2], strict=True)
                vectors = [self.builder.shuffle_vector(*pair, order) for pair in pairs]
            rows.append(vectors[0])
        return rows

    def write(self) -> None:
        """All of it."""
        b, firsts = self.builder, range(0, self.size, GROUP)
        other = self._straight()
        self._hand_back(self._joined([self._group(first, whole=True) for first in firsts]))
        b.position_at_end(other)
        done, groups, ends = self.function.append_basic_block(), [], []
        for first in firsts:
            if first:
                more = self.function.append_basic_block()
                b.cbranch(b.icmp_signed(">", self.count, _number(first)), more, done)
                b.position_at_end(more)
            groups.append(self._group(first, whole=False))
            ends.append(b.block)
        b.branch(done)
        b.position_at_end(done)
        for n, parts in enumerate(groups):
            for k, made in enumerate(parts):
                parts[k] = b.phi(made.type)
                for end, block in enumerate(ends):
                    parts[k].add_incoming(made if end >= n else self.none[1][k], block)
        self._hand_back(self._joined(groups))


def _take(body: Body, k: int, places: list[Any], parts: list[Any]) -> list[Any]:
    b = body.builder
    lane = ir.Constant(I32, k % GROUP)
    return [b.insert_element(part, b.load(place), lane) for part, place in zip(parts, places, strict=True)]


def _leave(body: Body, k: int, places: list[Any], parts: list[Any]) -> list[Any]:
    body.builder.store(body.lane(k), places[0])
    return parts


def _add(body: Body, k: int, places: list[Any], parts: list[Any]) -> list[Any]:
    b = body.builder
    b.store(b.fadd(b.load(places[0]), body.lane(k)), places[0])
    return parts


def _calling(move: Move, arrays: int = 1) -> Any:
    """The code of a call f(arrays, listed, start, shift, count, [row]) of what is written once in a module."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kind = signature.args[0].dtype
        element, size = context.get_value_type(kind), ROW_BYTES * 8 // kind.bitwidth
        *lent, places = (
            context.make_array(signature.args[k])(context, builder, arguments[k]).data for k in range(arrays + 1)
        )
        start, shift, *others = arguments[arrays + 1 :]
        given = [*(builder.gep(array, [shift]) for array in lent), builder.gep(places, [start]), *others]
        title = f"dagdp.{move.name}.{element}"
        function = builder.module.globals.get(title)
        if function is None:
            rows = [ir.VectorType(element, size) for _ in move.gathered]
            result = rows[0] if len(rows) == 1 else ir.LiteralStructType(rows) if rows else ir.VoidType()
            function = ir.Function(builder.module, ir.FunctionType(result, [value.type for value in given]), title)
            function.linkage = "linkonce_odr"
            for attribute in ("noinline", "nounwind"):
                function.attributes.add(attribute)
            Body(move, function, arrays, size).write()
        made = builder.call(function, given)
        if len(move.gathered) > 1:
            rows = [builder.extract_value(made, k) for k in range(len(move.gathered))]
            return context.make_tuple(builder, signature.return_type, rows)
        return made if move.gathered else context.get_dummy_value()

    return generate


GATHER, GATHER_PRESENT = Move("gather", _take, (0.0,)), Move("gather_present", _take, (0.0,), absent=True)
GATHER_PAIR = Move("gather_pair", _take, (-INF, 0.0))
SCATTER, SCATTER_PRESENT = Move("scatter", _leave), Move("scatter_present", _leave, absent=True)
ADD = Move("add", _add)


@intrinsic
def gather_vector(typing: Any, array: Any, listed: Any, start: Any, shift: Any, count: Any) -> Any:
    """The row array[listed[start + k] + shift], 0 from lane `count` on."""
    return Lanes(array.dtype)(array, listed, types.intp, types.intp, types.intp), _calling(GATHER)


@intrinsic
def gather_present(typing: Any, array: Any, listed: Any, start: Any, shift: Any, count: Any) -> Any:
    """The same, and 0 where -1 is listed."""
    return Lanes(array.dtype)(array, listed, types.intp, types.intp, types.intp), _calling(GATHER_PRESENT)


@intrinsic
def gather_pair(typing: Any, hi: Any, lo: Any, listed: Any, start: Any, count: Any) -> Any:
    """(hi, lo) of numbers that are kept as two: rows as above, -inf from lane `count` on."""
    rows = types.UniTuple(Lanes(hi.dtype), 2)
    write = _calling(GATHER_PAIR, arrays=2)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        *given, count = arguments
        return write(context, builder, signature, [*given, _number(0), count])

    return rows(hi, lo, listed, types.intp, types.intp), generate


@intrinsic
def scatter_vector(typing: Any, array: Any, listed: Any, start: Any, shift: Any, count: Any, row: Any) -> Any:
    """array[listed[start + k] + shift] becomes the k-th of `count` lanes."""
    return types.void(array, listed, types.intp, types.intp, types.intp, row), _calling(SCATTER)


@intrinsic
def scatter_present(typing: Any, array: Any, listed: Any, start: Any, shift: Any, count: Any, row: Any) -> Any:
    """The same, and nothing where -1 is listed."""
    return types.void(array, listed, types.intp, types.intp, types.intp, row), _calling(SCATTER_PRESENT)


@intrinsic
def add_vector(typing: Any, array: Any, listed: Any, start: Any, shift: Any, count: Any, row: Any) -> Any:
    """array[listed[start + k] + shift] grows by the k-th of `count` lanes, in their order: places may be equal."""
    return types.void(array, listed, types.intp, types.intp, types.intp, row), _calling(ADD)


@intrinsic
def expect_vector(typing: Any, array: Any, listed: Any, start: Any, shift: Any, count: Any) -> Any:
    """Ask memory for array[listed[start + k] + shift], `count` elements up to a row.

    Nothing happens where `count` is below 1. A place that is not there (-1 listed) may be asked for: nothing is read.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        source = context.make_array(signature.args[0])(context, builder, arguments[0])
        places = context.make_array(signature.args[1])(context, builder, arguments[1])
        kind = arguments[2].type
        zero = ir.Constant(kind, 0)
        with builder.if_then(builder.icmp_signed(">", arguments[4], zero)):
            last = builder.sub(arguments[4], ir.Constant(kind, 1))
            for k in range(ROW_BYTES * 8 // signature.args[0].dtype.bitwidth):
                number = ir.Constant(kind, k)
                real = builder.select(builder.icmp_signed("<", number, last), number, last)
                place = builder.load(builder.gep(places.data, [builder.add(arguments[2], real)]))
                place = builder.sext(place, kind) if place.type != kind else place
                ask(builder, builder.gep(source.data, [builder.add(place, arguments[3])]))
        return context.get_dummy_value()

    return types.void(array, listed, types.intp, types.intp, types.intp), generate
