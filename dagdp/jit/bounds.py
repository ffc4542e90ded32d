"""The checked build: kernels that test every access to memory against the bounds of its array.

Kernels address memory without tests. With the environment variable DAGDP_CHECKED=1 each load, store, view, gather and
scatter is compiled with a test, and an access out of bounds raises IndexError. The disk cache keeps checked kernels in
a folder of their own.

A view with a negative offset begins before memory that belongs to it. Its first element that may be accessed is kept
in the array's stride, which nothing else reads of a contiguous array: stride = itemsize + first element.
"""

from __future__ import annotations

import os
import re
from typing import Any, NamedTuple

from numba.core import cgutils

CHECKED = os.environ.get("DAGDP_CHECKED", "0") not in ("", "0")


def first_element(builder: Any, array: Any, itemsize: int) -> Any:
    """The index of the first element of an array, given as Numba's structure, that may be accessed."""
    stride = builder.extract_value(array.strides, 0)
    return builder.sub(stride, stride.type(itemsize))


def check_range(context: Any, builder: Any, kind: Any, array: Any, start: Any, count: Any, what: str) -> None:
    """In the checked build, raise IndexError in compiled code unless the elements [start, start + count) exist.

    kind : Numba's type of the array. array : its structure. count : an LLVM number or an int; nothing is checked of
    an empty range. what : the name of the access, for the message.
    """
    if not CHECKED:
        return
    itemsize = kind.dtype.bitwidth // 8
    number = start.type
    count = number(count) if isinstance(count, int) else count
    length = builder.extract_value(array.shape, 0)
    low = builder.icmp_signed("<", start, first_element(builder, array, itemsize))
    high = builder.icmp_signed(">", builder.add(start, count), length)
    some = builder.icmp_signed(">", count, number(0))
    bad = builder.and_(some, builder.or_(low, high))
    raise_if(context, builder, bad, what)


class ListedRange(NamedTuple):
    """The elements listed[start + k] + shift for k < min(count, most); if `absent`, -1 names none."""

    start: Any
    shift: Any
    count: Any
    most: int
    absent: bool


def check_listed(context: Any, builder: Any, array: Any, listed: Any, elements: ListedRange, what: str) -> None:
    """In the checked build, check the elements of an array that a list names, and the list.

    array, listed : pairs (Numba's type, structure).
    """
    if not CHECKED:
        return
    kind, source = array
    list_kind, numbers = listed
    number = elements.start.type
    most = number(elements.most)
    count = builder.select(builder.icmp_signed("<", elements.count, most), elements.count, most)
    check_range(context, builder, list_kind, numbers, elements.start, count, f"list of {what}")
    with cgutils.for_range(builder, count) as loop:
        place = builder.load(builder.gep(numbers.data, [builder.add(elements.start, loop.index)]))
        place = builder.sext(place, number) if place.type != number else place
        one = number(1)
        if elements.absent:
            one = builder.select(builder.icmp_signed(">=", place, number(0)), one, number(0))
        check_range(context, builder, kind, source, builder.add(place, elements.shift), one, what)


def raise_if(context: Any, builder: Any, bad: Any, what: str) -> None:
    """Raise IndexError in compiled code where `bad` holds; the message names the function that made the access."""
    with builder.if_then(bad, likely=False):
        message = f"dagdp kernel, checked build: {what} out of bounds in {demangled(builder.function.name)}"
        context.call_conv.return_user_exc(builder, IndexError, (message,))


def demangled(name: str) -> str:
    """module.function of a name as Numba mangles it: _ZN, then each part with its length before it."""
    parts: list[str] = []
    rest = name.removeprefix("_ZN")
    while match := re.match(r"\d+", rest):
        size, rest = int(match[0]), rest[match.end() :]
        parts, rest = [*parts, rest[:size]], rest[size:]
    return ".".join(parts)
