"""Gather and scatter: a row of elements of one array whose places are listed in another.

Each function is compiled once in a kernel and called, not inlined: its body has a hundred instructions, beside which a
call costs nothing. Elements are moved one by one and joined in registers. A row that is stored element by element
cannot be loaded before its stores have reached L1, and the gather instruction is slower (16 float32 in L1: 4.6 ns
against 2.6 on Zen 5, 9.8 against 7.2 on Zen 3).

Most rows are full and list no -1. One test sends these down a path without further tests. In other rows lanes beyond
`count` are left out four at a time; a lane without an element reads, or writes, a spare place on the stack.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from dagdp.jit.bounds import ListedRange, check_listed
from dagdp.lanes.rows import ROW_BYTES, Lanes

GROUP = 4  # lanes that are left out together
I32, I64 = ir.IntType(32), ir.IntType(64)
INF = float("inf")


class Access(NamedTuple):
    """What is done with each listed element."""

    name: str
    step: Callable[[Body, int, list[Any], list[Any]], list[Any]]  # (body, lane, its elements, parts) -> parts
    gathered: tuple[float, ...] = ()  # for each gathered row, the value of lanes without an element
    absent: bool = False  # whether -1 may be listed, for no element


def _number(k: int) -> Any:
    return ir.Constant(I64, k)


def _least(builder: Any, a: Any, b: Any) -> Any:
    return builder.select(builder.icmp_signed("<", a, b), a, b)


def _repeated(element: Any, value: float, count: int) -> Any:
    return ir.Constant(ir.VectorType(element, count), [value] * count)


class Body:
    """The LLVM text of a function f(arrays, places, count, [row]) that makes an access."""

    def __init__(self, access: Access, function: Any, arrays: int, size: int) -> None:
        self.access, self.function, self.size = access, function, size
        self.arrays, (self.places, self.count, *row) = function.args[:arrays], function.args[arrays:]
        self.row = row[0] if row else None
        self.builder = b = ir.IRBuilder(function.append_basic_block())
        elements = [array.type.pointee for array in self.arrays]
        values = list(zip(elements, access.gathered or (0.0,), strict=True))
        none, parts = ([_repeated(element, value, n) for element, value in values] for n in (size, GROUP))
        self.none = (none, parts) if access.gathered else ([], [])  # rows, and parts of rows, without elements
        self.elsewhere = []  # a place for each lane, so that no store waits for another
        for row_of_none, array in zip(none, self.arrays, strict=True):
            place = b.alloca(row_of_none.type)
            b.store(row_of_none, place)
            self.elsewhere.append(b.bitcast(place, array.type))

    def lane(self, k: int) -> Any:
        return self.builder.extract_element(self.row, ir.Constant(I32, k))

    def _elements(self, k: Any) -> Any:
        """(pointers to the k-th element of each array, whether the list names one)."""
        b = self.builder
        place = b.sext(b.load(b.gep(self.places, [k])), I64)
        return [b.gep(array, [place]) for array in self.arrays], b.icmp_signed(">=", place, _number(0))

    def _return(self, rows: list[Any]) -> None:
        if len(rows) < 2:
            self.builder.ret(rows[0]) if rows else self.builder.ret_void()
            return
        made = ir.Constant(self.function.ftype.return_type, ir.Undefined)
        for k, row in enumerate(rows):
            made = self.builder.insert_value(made, row, k)
        self.builder.ret(made)

    def _straight(self) -> Any:
        """Move the builder to the path for full rows; return the block for other rows."""
        b = self.builder
        straight, other = self.function.append_basic_block(), self.function.append_basic_block()
        full = self.function.append_basic_block() if self.access.absent else straight
        b.cbranch(b.icmp_signed(">=", self.count, _number(self.size)), full, other)
        if self.access.absent:
            b.position_at_end(full)
            index, truths, place = ir.VectorType(I32, self.size), ir.IntType(self.size), self.places.type
            # The assembly hides that these are the numbers loaded below: LLVM would extract those from the vector.
            again = b.asm(ir.FunctionType(place, [place]), "", "=r,0", [self.places], side_effect=False)
            listed = b.load(b.bitcast(again, index.as_pointer()))
            listed.align = 4
            there = b.icmp_signed(">=", listed, ir.Constant(index, [0] * self.size))
            nothing = self.function.append_basic_block()
            which = b.switch(b.bitcast(there, truths), other)
            which.add_case(truths(-1), straight)
            which.add_case(truths(0), nothing)
            b.position_at_end(nothing)
            self._return(self.none[0])
        b.position_at_end(straight)
        return other

    def _group(self, first: int, full: bool) -> list[Any]:
        """What the access gathers in GROUP lanes: all of them elements (`full`), or some."""
        b, parts = self.builder, self.none[1]
        last = b.sub(self.count, _number(1))
        for k in range(first, first + GROUP):
            places, there = self._elements(_number(k) if full else _least(b, _number(k), last))
            if not full:
                counts = b.icmp_signed("<", _number(k), self.count)
                real = b.and_(counts, there) if self.access.absent else counts
                own = [b.gep(place, [_number(k)]) for place in self.elsewhere]
                places = [b.select(real, *pair) for pair in zip(places, own, strict=True)]
            parts = self.access.step(self, k, places, parts)
        return parts

    def _joined(self, groups: list[list[Any]]) -> list[Any]:
        """Rows joined from their parts."""
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
        """Write the whole function."""
        b, firsts = self.builder, range(0, self.size, GROUP)
        other = self._straight()
        self._return(self._joined([self._group(first, full=True) for first in firsts]))
        b.position_at_end(other)
        done, groups, ends = self.function.append_basic_block(), [], []
        for first in firsts:
            if first:
                more = self.function.append_basic_block()
                b.cbranch(b.icmp_signed(">", self.count, _number(first)), more, done)
                b.position_at_end(more)
            groups.append(self._group(first, full=False))
            ends.append(b.block)
        b.branch(done)
        b.position_at_end(done)
        for n, parts in enumerate(groups):
            for k, made in enumerate(parts):
                parts[k] = b.phi(made.type)
                for end, block in enumerate(ends):
                    parts[k].add_incoming(made if end >= n else self.none[1][k], block)
        self._return(self._joined(groups))


def _gather(body: Body, k: int, places: list[Any], parts: list[Any]) -> list[Any]:
    b = body.builder
    lane = ir.Constant(I32, k % GROUP)
    return [b.insert_element(part, b.load(place), lane) for part, place in zip(parts, places, strict=True)]


def _scatter(body: Body, k: int, places: list[Any], parts: list[Any]) -> list[Any]:
    body.builder.store(body.lane(k), places[0])
    return parts


def _scatter_add(body: Body, k: int, places: list[Any], parts: list[Any]) -> list[Any]:
    b = body.builder
    b.store(b.fadd(b.load(places[0]), body.lane(k)), places[0])
    return parts


def _calling(access: Access, arrays: int = 1) -> Any:
    """The code of a call f(arrays, listed, start, shift, count, [row]); the function is written once in a module."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kind = signature.args[0].dtype
        element, size = context.get_value_type(kind), ROW_BYTES * 8 // kind.bitwidth
        *sources, places = (
            context.make_array(signature.args[k])(context, builder, arguments[k]) for k in range(arrays + 1)
        )
        start, shift, *others = arguments[arrays + 1 :]
        for k, source in enumerate(sources):
            listed = signature.args[arrays], places
            elements = ListedRange(start, shift, others[0], size, access.absent)
            check_listed(context, builder, (signature.args[k], source), listed, elements, access.name)
        given = [*(builder.gep(array.data, [shift]) for array in sources), builder.gep(places.data, [start]), *others]
        title = f"dagdp.{access.name}.{element}"
        function = builder.module.globals.get(title)
        if function is None:
            rows = [ir.VectorType(element, size) for _ in access.gathered]
            result = rows[0] if len(rows) == 1 else ir.LiteralStructType(rows) if rows else ir.VoidType()
            function = ir.Function(builder.module, ir.FunctionType(result, [value.type for value in given]), title)
            function.linkage = "linkonce_odr"
            for attribute in ("noinline", "nounwind"):
                function.attributes.add(attribute)
            Body(access, function, arrays, size).write()
        made = builder.call(function, given)
        if len(access.gathered) > 1:
            rows = [builder.extract_value(made, k) for k in range(len(access.gathered))]
            return context.make_tuple(builder, signature.return_type, rows)
        return made if access.gathered else context.get_dummy_value()

    return generate


GATHER, GATHER_PRESENT = Access("gather", _gather, (0.0,)), Access("gather_present", _gather, (0.0,), absent=True)
GATHER_PAIR = Access("gather_pair", _gather, (-INF, 0.0))
SCATTER, SCATTER_PRESENT = Access("scatter", _scatter), Access("scatter_present", _scatter, absent=True)
ADD = Access("add", _scatter_add)


@intrinsic
def gather(typing: Any, array: Any, listed: Any, start: Any, shift: Any, count: Any) -> Any:
    """The row array[listed[start + k] + shift], 0 from lane `count` on."""
    return Lanes(array.dtype)(array, listed, types.intp, types.intp, types.intp), _calling(GATHER)


@intrinsic
def gather_present(typing: Any, array: Any, listed: Any, start: Any, shift: Any, count: Any) -> Any:
    """The row array[listed[start + k] + shift], 0 where -1 is listed and from lane `count` on."""
    return Lanes(array.dtype)(array, listed, types.intp, types.intp, types.intp), _calling(GATHER_PRESENT)


@intrinsic
def gather_pair(typing: Any, hi: Any, lo: Any, listed: Any, start: Any, count: Any) -> Any:
    """Rows (hi[listed[start + k]], lo[listed[start + k]]) of numbers kept as two; (-inf, 0) from lane `count` on."""
    rows = types.UniTuple(Lanes(hi.dtype), 2)
    write = _calling(GATHER_PAIR, arrays=2)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        *given, count = arguments
        return write(context, builder, signature, [*given, _number(0), count])

    return rows(hi, lo, listed, types.intp, types.intp), generate


@intrinsic
def scatter(typing: Any, array: Any, listed: Any, start: Any, shift: Any, count: Any, row: Any) -> Any:
    """array[listed[start + k] + shift] = the k-th of `count` lanes."""
    return types.void(array, listed, types.intp, types.intp, types.intp, row), _calling(SCATTER)


@intrinsic
def scatter_present(typing: Any, array: Any, listed: Any, start: Any, shift: Any, count: Any, row: Any) -> Any:
    """array[listed[start + k] + shift] = the k-th of `count` lanes; nothing is stored where -1 is listed."""
    return types.void(array, listed, types.intp, types.intp, types.intp, row), _calling(SCATTER_PRESENT)


@intrinsic
def scatter_add(typing: Any, array: Any, listed: Any, start: Any, shift: Any, count: Any, row: Any) -> Any:
    """array[listed[start + k] + shift] += the k-th of `count` lanes, in their order: places may be equal."""
    return types.void(array, listed, types.intp, types.intp, types.intp, row), _calling(ADD)
