"""A function of many graphs, with bounded memory and in order."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, count, islice, repeat
from typing import Any, NamedTuple

import numpy as np

from dagdp import CompiledDAG, Graph, InputError
from dagdp.bulk.run import AHEAD, Cluster, Threads, in_order, progress_bar, runner
from dagdp.compiler.batch import CompiledBatch

Item = tuple[Any, Any]  # a graph and its potentials
CHUNK = 16  # items of a task on a client: a scheduler takes about 1 ms for a task
_END = object()


@dataclass(frozen=True)
class Failure:
    """What stands in place of the result of an item whose function raised."""

    index: int  # of the item, from 0
    error: Exception

    def __str__(self) -> str:
        return f"item {self.index}: {type(self.error).__name__}: {self.error}"


def map_graphs(
    function: Callable[[Any, Any], Any],
    graphs: Any,
    thetas: Iterable[Any],
    *,
    client: Any = None,
    threads: int | None = None,
    chunk: int | None = None,
    ahead: int | None = None,
    on_error: str = "report",
    progress: bool = False,
) -> Iterator[Any]:
    """function(graph, theta) of each item, in the order of the items: an iterator of results.

    function : as `lambda dag, theta: dagdp.best_path(dag, theta)`; on a client it must be picklable, and its results,
        too. Give `threads=1` to the dp_* that it calls. On a client the first item is also computed once on each
        worker, which compiles the kernels; do not rely on side effects.
    graphs : one graph for all items, or an iterable of graphs, read as far as needed. Hand over compiled graphs, or
        compile in the function: `dagdp.compile` then runs on the workers.
    thetas : an iterable of what the function takes as potentials, one for each item.
    client, threads : as in `pairwise`.
    chunk : items of one task; default 16 on a client and 1 on threads.
    ahead : items that are read and not yet yielded, at most; default three tasks for each thread. Memory holds their
        graphs, potentials and results.
    on_error : "report" yields `Failure(index, error)` in place of the result of an item that raised an Exception, or
        whose worker was lost too often; "raise" raises the error, with the item's number as a note.
    progress : whether to show a bar of items, where tqdm is installed.

    Raises InputError for options of another form, at once; and where graphs and thetas differ in number, when the
    shorter one ends. What the iterators raise is raised.

    >>> import dagdp
    >>> dag = dagdp.compile(dagdp.Graph.from_edges([0, 0, 1], [1, 2, 2]))
    >>> thetas = [[1.0, 2.5, 2.0], [1.0], [0.0, 0.0, 1.0]]
    >>> value = lambda dag, theta: float(dagdp.dp_value(dag, theta, dagdp.HardMax(), threads=1))
    >>> [type(r).__name__ if isinstance(r, Failure) else r for r in map_graphs(value, dag, thetas)]
    [3.0, 'Failure', 1.0]
    """
    if on_error not in ("report", "raise"):
        raise InputError(f"on_error={on_error!r}; expected 'report' or 'raise'")
    for name, number in (("chunk", chunk), ("ahead", ahead)):
        if number is not None and (isinstance(number, bool) or not isinstance(number, int | np.integer) or number < 1):
            raise InputError(f"{name}={number!r}; expected a whole number of items, at least 1")
    if not callable(function):
        raise InputError(f"function is a {type(function).__name__}; expected a function of a graph and its potentials")
    place = runner(client, threads)
    size = int(chunk or (CHUNK if isinstance(place, Cluster) else 1))
    size = min(size, int(ahead or size))
    tasks_ahead = max(1, int(ahead) // size) if ahead else AHEAD * place.workers
    return _results(function, _items(graphs, thetas), place, (size, tasks_ahead, on_error == "raise", progress))


def _results(
    function: Callable[..., Any], items: Iterator[Item], place: Threads | Cluster, how: tuple[int, int, bool, bool]
) -> Iterator[Any]:
    """The results, one after another."""
    size, ahead, raises, progress = how
    lengths: list[int] = []
    try:
        first = next(items, _END)
        if first is _END:
            return
        place.warm(function, *first)  # type: ignore[misc]
        tasks = _tasks(function, chain([first], items), size, lengths)  # type: ignore[list-item]
        numbers = count()
        with progress_bar(None, 0, "item", "dagdp.bulk.map_graphs", progress) as advance:
            for wait in in_order(place, _outcomes, tasks, ahead):
                for result in _collected(wait, lengths.pop(0)):
                    index = next(numbers)
                    if isinstance(result, _Raised):
                        if raises:
                            result.error.add_note(f"raised by item {index} of dagdp.bulk.map_graphs")
                            raise result.error
                        yield Failure(index, result.error)
                    else:
                        yield result
                    advance(1)
    finally:
        place.close()


class _Raised(NamedTuple):
    """The error of an item, on its way from a worker."""

    error: Exception


def _tasks(
    function: Callable[..., Any], items: Iterator[Item], size: int, lengths: list[int]
) -> Iterator[tuple[Callable[..., Any], list[Item]]]:
    """Arguments of `_outcomes`; the number of items of each is appended to `lengths`."""
    while some := list(islice(items, size)):
        lengths.append(len(some))
        yield function, some


def _outcomes(function: Callable[..., Any], items: list[Item]) -> list[Any]:
    """The result of each item, or what it raised."""
    made: list[Any] = []
    for graph, theta in items:
        try:
            made.append(function(graph, theta))
        except Exception as error:
            made.append(_Raised(_portable(error)))
    return made


def _collected(wait: Callable[[], Any], items: int) -> list[Any]:
    """The outcomes of a task; where the task itself was lost, its error for each of its items."""
    try:
        return wait()
    except Exception as error:
        return [_Raised(error)] * items


def _portable(error: Exception) -> Exception:
    """The error, or its text where it cannot be sent to another process."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error


def _items(graphs: Any, thetas: Iterable[Any]) -> Iterator[Item]:
    """Graphs beside potentials."""
    try:
        potentials = iter(thetas)
    except TypeError:
        raise InputError(f"thetas is a {type(thetas).__name__}; expected an iterable of potentials") from None
    if isinstance(graphs, Graph | CompiledDAG | CompiledBatch):
        return zip(repeat(graphs), potentials, strict=False)
    try:
        each = iter(graphs)
    except TypeError:
        raise InputError(f"graphs is a {type(graphs).__name__}; expected a graph, or an iterable of graphs") from None
    return _paired(each, potentials)


def _paired(graphs: Iterator[Any], potentials: Iterator[Any]) -> Iterator[Item]:
    """Pairs. Raises InputError where one ends before the other."""
    for index in count():
        pair = next(graphs, _END), next(potentials, _END)
        if pair[0] is _END and pair[1] is _END:
            return
        if pair[0] is _END or pair[1] is _END:
            raise InputError(
                f"{'graphs' if pair[0] is _END else 'thetas'} has {index} items, and there are more of the other; "
                "expected as many graphs as thetas"
            )
        yield pair
