"""Threads inside a level: the members of a team run one kernel on one sample, each on a part of every level.

What is done between two meetings is a step. It is cut in pieces; a member takes one that nobody has, its own first,
and goes on when all of them are done. Nobody waits for a member to come, only for a piece that it has taken: one whose
core is busy with something else is missed by nobody, and finds nothing left to do. One that is sent off its core with
a piece in hand is waited for once; who waited long takes all that is left of later steps at once.

How a step is cut leaves no trace in the results: what one piece writes no other reads before the step is over.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from dagdp.kernels.jit import inlined, inner
from dagdp.kernels.vectors import part, pick

# Numbers that follow the places of rows: where the team counts (from an address on, a flag, and then two numbers for
# each step: which pieces are taken, how many are done), the next step, this member, how many others there are; where
# the function is by which a thread leaves its core to others; whether it waits for others no more, and which pieces of
# this step it then has to do.
COUNTERS, STEP, MEMBER, OTHERS, YIELD, HURRIED, OWN, TEAM = 0, 1, 2, 3, 4, 5, 6, 7
LOOKS = 1 << 12  # at what others have not done, some microseconds, before the core is left to who may need it
PATIENCE = 1 << 10  # times that it is left before a member is hurried
TIED = 2  # numbers that follow those, for tied levels
LEAST_NODES = 256  # of a level that a member works on at least


def _atomic(operation: str) -> Any:
    """The number `place` numbers behind an address, before it is changed by `n` at once for all threads."""

    @intrinsic
    def changed(typing: Any, address: Any, place: Any, n: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            pointer = builder.inttoptr(arguments[0], ir.IntType(64).as_pointer())
            return builder.atomic_rmw(operation, builder.gep(pointer, [arguments[1]]), arguments[2], "seq_cst")

        return types.int64(types.int64, types.int64, types.int64), generate

    return changed


add_at_once, join_at_once = _atomic("add"), _atomic("or")


@intrinsic
def seen_by_all(typing: Any, address: Any, place: Any) -> Any:
    """The number `place` numbers behind an address, and whatever its writer had written before."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        pointer = builder.inttoptr(arguments[0], ir.IntType(64).as_pointer())
        return builder.load_atomic(builder.gep(pointer, [arguments[1]]), "acquire", 8)

    return types.int64(types.int64, types.int64), generate


@intrinsic
def called(typing: Any, address: Any) -> Any:
    """Call the function at that address, which takes nothing; nothing is done where the address is 0."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        with builder.if_then(builder.icmp_signed("!=", arguments[0], arguments[0].type(0))):
            kind = ir.FunctionType(ir.IntType(32), [])
            builder.call(builder.inttoptr(arguments[0], kind.as_pointer()), [])
        return context.get_dummy_value()

    return types.void(types.int64), generate


class Places(NamedTuple):
    """The numbers of a launch: where rows lie, and what it knows of its team (None: it is alone)."""

    numbers: Any
    team: Any


@inlined
def places_in(numbers: Any, batch: Any) -> Any:
    """A block of samples belongs to one thread; only one sample's levels are shared out."""
    if batch.together is not None:
        return Places(numbers, None)
    return Places(numbers, part(numbers, numbers.shape[0] - TIED - TEAM, TEAM))


@inlined
def mine(places: Any, what: int) -> int:
    """What a member knows of its team."""
    return 0 if places.team is None else pick(places.team, what)


@intrinsic
def mostly(typing: Any, flag: Any) -> Any:
    """The flag, of which LLVM learns that it is mostly true: what is done alone stays on the straight way."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        bit = ir.IntType(1)
        expect = builder.module.declare_intrinsic("llvm.expect", (bit,), ir.FunctionType(bit, [bit, bit]))
        return builder.call(expect, [arguments[0], bit(1)])

    return types.boolean(types.boolean), generate


@inlined
def alone(places: Any) -> bool:
    """Whether this member is the whole team."""
    return True if places.team is None else mostly(mine(places, OTHERS) == 0)


@inlined
def pieces_of(places: Any, size: int, least: int) -> int:
    """In how many pieces a step of that size is cut: one for each member, if none gets smaller than `least`."""
    others = mine(places, OTHERS)
    return 1 if places.team is None or size < 2 * least else max(1, min(others + 1, size // least))


@inlined
def portion(first: int, last: int, piece: int, pieces: int, whole: int) -> Any:
    """(first, last) of a piece, whose borders are those of rows counted from the first on."""
    if pieces == 1:
        return first, last
    rows = (last - first + whole - 1) // whole
    begin = first + whole * (rows * piece // pieces)
    return begin, min(last, first + whole * (rows * (piece + 1) // pieces))


@inlined
def next_piece(places: Any, pieces: int, piece: int) -> int:
    """The next piece to work on after this one (-1: none yet); `pieces` when all are done."""
    return piece + 1 if places.team is None or alone(places) else next_of_team(places, pieces, piece)


@inner
def next_of_team(places: Any, pieces: int, piece: int) -> int:
    """`next_piece` where others work, too."""
    counters, step, member = mine(places, COUNTERS), mine(places, STEP), mine(places, MEMBER)
    taken, done = 1 + 2 * step, 2 + 2 * step
    if piece >= 0:
        add_at_once(counters, done, 1)
    elif mine(places, HURRIED) != 0:
        every = (1 << pieces) - 1
        places.team[OWN] = every & ~join_at_once(counters, taken, every)
    left = mine(places, OWN)
    for k in range(pieces if left != 0 else 0):
        if (left >> k) & 1 != 0:
            places.team[OWN] = left & ~(1 << k)
            return k
    known = seen_by_all(counters, taken)
    for k in range(pieces):
        own = (member + k) % pieces
        if (known >> own) & 1 == 0:
            known = join_at_once(counters, taken, 1 << own)
            if (known >> own) & 1 == 0:
                return own
    looks = 0
    while seen_by_all(counters, done) < pieces:
        looks += 1
        if looks % LOOKS == 0:
            called(mine(places, YIELD))
    if looks > LOOKS * PATIENCE:
        places.team[HURRIED] = 1
    places.team[STEP] = step + 1
    return pieces


@inlined
def only_one(places: Any) -> bool:
    """Whether this member does a step that is not cut, and ends with `all_go_on`; the others wait here."""
    return next_piece(places, 1, -1) == 0


@inlined
def all_go_on(places: Any) -> None:
    """The end of what `only_one` began."""
    next_piece(places, 1, 0)


@inlined
def goes_on_alone(places: Any) -> bool:
    """Whether this member is the one that does all the rest; the others are not waited for any more."""
    if places.team is None or alone(places):
        return True
    step = mine(places, STEP)
    places.team[STEP] = step + 1
    return join_at_once(mine(places, COUNTERS), 1 + 2 * step, 1) & 1 == 0


@inlined
def tell(places: Any, flag: bool) -> None:
    """Say it to all, before the piece is over in which it was found."""
    if places.team is not None and flag and not alone(places):
        join_at_once(mine(places, COUNTERS), 0, 1)


@inlined
def somebody_told(places: Any) -> bool:
    """Whether a member said so in a step that is over."""
    return places.team is not None and not alone(places) and seen_by_all(mine(places, COUNTERS), 0) != 0
