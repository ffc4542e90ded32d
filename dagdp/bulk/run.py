"""Tasks on threads of this process, or on the workers of a Dask client: results in order, few tasks at a time."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from dagdp import pool
from dagdp.errors import InputError

logger = logging.getLogger("dagdp")
AHEAD = 3  # tasks for each thread, submitted and not yet collected


class Threads:
    """Threads of this process."""

    def __init__(self, threads: int | None) -> None:
        self.workers = threads or pool.available()
        self._pool = ThreadPoolExecutor(self.workers, "dagdp.bulk")

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """A future."""
        return self._pool.submit(function, *arguments)

    def warm(self, function: Callable[..., Any], *arguments: Any) -> None:
        """Call the function once: threads share their kernels. What it raises, the tasks raise again."""
        _quietly(function, *arguments)

    def close(self) -> None:
        """Wait for the tasks that run, and drop the others."""
        self._pool.shutdown(cancel_futures=True)


class Cluster:
    """The workers of a `distributed.Client`, which stays open."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self.workers = max(1, sum(client.nthreads().values()))

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """A future. Two tasks are never taken for one, nor is a random function's result kept."""
        return self._client.submit(function, *arguments, pure=False)

    def warm(self, function: Callable[..., Any], *arguments: Any) -> None:
        """Call the function once on each worker; on another one where a worker is lost meanwhile."""
        futures = [
            self._client.submit(_quietly, function, *arguments, pure=False, workers=[address], allow_other_workers=True)
            for address in self._client.nthreads()
        ]
        for future in futures:
            try:
                future.result()
            except Exception as error:  # the tasks meet the fault again, and say which of them
                logger.info("dagdp.bulk: a worker was lost while its kernels were compiled: %s", error)

    def close(self) -> None:
        """Nothing: futures that are dropped are cancelled."""


def runner(client: Any, threads: int | None = None) -> Threads | Cluster:
    """Where tasks run. Raises InputError for what is no client, and for an asynchronous one.

    >>> runner(None, 2).workers
    2
    """
    if threads is not None and (isinstance(threads, bool) or not isinstance(threads, int) or threads < 1):
        raise InputError(f"threads={threads!r}; expected a whole number of threads, at least 1, or None for all cores")
    if client is None:
        return Threads(threads)
    if not all(hasattr(client, name) for name in ("submit", "nthreads", "scheduler")):
        raise InputError(f"client is a {type(client).__name__}; expected a distributed.Client, or None for threads")
    if client.asynchronous:
        raise InputError("client is asynchronous; expected one made without asynchronous=True, in a thread of its own")
    return Cluster(client)


def in_order(
    place: Threads | Cluster, function: Callable[..., Any], tasks: Iterable[tuple[Any, ...]], ahead: int
) -> Iterator[Callable[[], Any]]:
    """For each tuple of arguments, in order, a call that waits for the result of function(*arguments).

    At most `ahead` tasks are submitted and not yet collected: the iterator is read no further.

    >>> place = Threads(2)
    >>> [wait() for wait in in_order(place, pow, [(2, 3), (3, 2)], 2)]
    [8, 9]
    >>> place.close()
    """
    waiting: deque[Any] = deque()
    try:
        for arguments in tasks:
            waiting.append(place.submit(function, *arguments))
            if len(waiting) >= ahead:
                yield waiting.popleft().result
        while waiting:
            yield waiting.popleft().result
    finally:
        for future in waiting:
            future.cancel()


@contextmanager
def progress_bar(total: int | None, done: int, unit: str, name: str, shown: bool) -> Iterator[Callable[[int], None]]:
    """A function that is told how much more is done. Nothing is shown where tqdm is missing."""
    bars = _tqdm(name) if shown else None
    if bars is None:
        yield lambda more: None
        return
    with bars(total=total, initial=done, unit=unit, desc=name) as bar:
        yield lambda more: bar.update(more) and None


def _tqdm(name: str) -> Any:
    """The class of bars, or None."""
    try:
        from tqdm.auto import tqdm
    except ImportError:
        logger.info("%s: no bar, since tqdm is not installed; run `pip install dagdp[dask]`", name)
        return None
    return tqdm


def _quietly(function: Callable[..., Any], *arguments: Any) -> None:
    """Call for the kernels alone: a fault shows again where the results are collected."""
    try:
        function(*arguments)
    except Exception as error:
        logger.debug("dagdp.bulk: the call that compiles kernels raised %r", error)
