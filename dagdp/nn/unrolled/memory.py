"""Results that are computed once for a compiled graph, and stored as long as the graph lives."""

from __future__ import annotations

import functools
from collections.abc import Callable, Hashable
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

from dagdp.compiled.dag import CompiledDAG

T = TypeVar("T")


def once_a_graph(make: Callable[..., T]) -> Callable[..., T]:
    """Decorator: results of `make(dag, *key)` are stored until the graph is freed; they must not refer to it."""
    made: WeakKeyDictionary[CompiledDAG, dict[Hashable, Any]] = WeakKeyDictionary()

    @functools.wraps(make)
    def remembered(dag: CompiledDAG, *key: Hashable) -> T:
        answers = made.setdefault(dag, {})
        if key not in answers:
            answers[key] = make(dag, *key)
        return answers[key]

    return remembered
