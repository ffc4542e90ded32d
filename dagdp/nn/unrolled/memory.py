"""What is made of a compiled graph once and kept as long as the graph is."""

from __future__ import annotations

import functools
from collections.abc import Callable, Hashable
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

from dagdp.compiled.dag import CompiledDAG

T = TypeVar("T")


def once_a_graph(make: Callable[..., T]) -> Callable[..., T]:
    """`make(dag, *key)` with its answers remembered, and forgotten with the graph. They must not hold it."""
    made: WeakKeyDictionary[CompiledDAG, dict[Hashable, Any]] = WeakKeyDictionary()

    @functools.wraps(make)
    def remembered(dag: CompiledDAG, *key: Hashable) -> T:
        answers = made.setdefault(dag, {})
        if key not in answers:
            answers[key] = make(dag, *key)
        return answers[key]

    return remembered
