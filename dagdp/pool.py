"""Threads for kernels that release the GIL.

Numba's prange is not used: its default layer kills forked workers, and its portable layer aborts when two Python
threads run it at once.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

_lock = threading.Lock()
_pool: ThreadPoolExecutor | None = None


def available() -> int:
    """The number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def run(work: Callable[[Any], Any], items: Sequence[Any], threads: int) -> list[Any]:
    """[work(item) for item in items] in order, on up to `threads` threads, the caller's included."""
    if threads <= 1 or len(items) <= 1:
        return [work(item) for item in items]
    results: list[Any] = [None] * len(items)
    places = iter(range(len(items)))
    claim = threading.Lock()

    def worker() -> None:
        while True:
            with claim:
                place = next(places, None)
            if place is None:
                return
            results[place] = work(items[place])

    helpers = [_shared_pool().submit(worker) for _ in range(min(threads, len(items)) - 1)]
    worker()
    for helper in helpers:
        if not helper.cancel():
            helper.result()
    return results


def _shared_pool() -> ThreadPoolExecutor:
    global _pool
    with _lock:
        if _pool is None:
            _pool = ThreadPoolExecutor(max_workers=max(1, available()), thread_name_prefix="dagdp")
        return _pool


def _forget_after_fork() -> None:
    """A forked child has no thread of its parent's pool, and the parent's lock may have been held at the fork."""
    global _pool, _lock
    _pool = None
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_after_fork)
