"""Strings: edit distances with costs that can be learnt, and the longest common subsequence."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

import numpy as np

from dagdp import Graph, HardMax, InputError, Omega, dp_value, recurrence
from dagdp.cuda import through_torch
from dagdp.graphs.alignment_grid import positive
from dagdp.graphs.ragged.arrays import is_tensor
from dagdp.graphs.ragged.compiled_cache import compiled
from dagdp.graphs.ragged.letters import FIRST_WORD, Letters, Numbers, letters_of

LEVENSHTEIN = """
    d[0, 0] = 0
    d[i, j] = min(
        d[i-1, j-1] + substitution[i-1, j-1],
        d[i-1, j] + deletion[i-1],
        d[i, j-1] + insertion[j-1])
    return d[-1, -1]
"""
OPTIMAL_STRING_ALIGNMENT = LEVENSHTEIN.replace(
    "insertion[j-1])", "insertion[j-1],\n        d[i-2, j-2] + transposition[i-1, j-1])"
)
LONGEST_COMMON_SUBSEQUENCE = """
    v[0, 0] = 0
    v[i, j] = max(v[i-1, j-1] + match[i-1, j-1], v[i-1, j], v[i, j-1])
    return v[-1, -1]
"""
OPERATIONS = ("insertion", "deletion", "substitution", "transposition")
EXACT = HardMax()


def levenshtein(N: int, M: int, transpositions: bool = False) -> Graph:
    """The edit distance of a string of N letters from a string of M letters, minimised; cell d[i, j] has i and j read.

    Potentials, all costs: substitution (N, M), to put letter j of the second string in the place of letter i of the
    first, 0 where both are equal; deletion (N,) of a letter of the first string; insertion (M,) of a letter of the
    second. One graph serves all strings of these lengths; for strings of n and m letters take
    `end=dag.cell("d", n, m)`. Wagner and Fischer (1974); `edit_distance` is the function on strings.

    transpositions : one more potential, transposition (N, M): the cost to swap letters i - 1 and i of the first string
        where this gives letters j - 1 and j of the second; +inf elsewhere. Row 0 and column 0 are not read. This is
        the optimal string alignment, the restricted one of Damerau's two distances: no letter takes part in two
        operations, so "ca" and "abc" have distance 3. rapidfuzz has this distance as `OSA`. The unrestricted distance,
        2 for "ca" and "abc", is `DamerauLevenshtein` in rapidfuzz, `damerau_levenshtein_distance` in jellyfish, and
        `edit_distance(transpositions=True)` in nltk; dagdp does not have this one.

    Ties go to the substitution, then to deletion, insertion and transposition. Raises GraphError for sizes below 1.

    >>> print(levenshtein(3, 4).text)
    d[0, 0] = 0
    d[i, j] = min(
        d[i-1, j-1] + substitution[i-1, j-1],
        d[i-1, j] + deletion[i-1],
        d[i, j-1] + insertion[j-1])
    return d[-1, -1]
    """
    positive("levenshtein", N=N, M=M)
    potentials = {"substitution": (N, M), "deletion": (N,), "insertion": (M,)}
    if not transpositions:
        return recurrence(LEVENSHTEIN, potentials, i=N + 1, j=M + 1)
    return recurrence(OPTIMAL_STRING_ALIGNMENT, {**potentials, "transposition": (N, M)}, i=N + 1, j=M + 1)


def longest_common_subsequence(N: int, M: int) -> Graph:
    """Pairs of letters in increasing order, of strings of N and M letters, with the highest sum of scores.

    Potential match (N, M), the score of a pair: 1 where both letters are equal and -inf elsewhere gives the length of
    the longest common subsequence (under HardMax; rapidfuzz `LCSseq.similarity`). Weights of letters, or a score for
    letters that are only alike, are other numbers. Cell v[i, j] has i and j letters read. Unpaired letters of both
    strings can be passed over in several orders; under Negentropy each order counts.

    Source: Hirschberg, "Algorithms for the longest common subsequence problem", 1977. Ties go to the pair, then to
    passing over a letter of the first string. Raises GraphError for sizes below 1.

    >>> print(longest_common_subsequence(3, 4).text)
    v[0, 0] = 0
    v[i, j] = max(v[i-1, j-1] + match[i-1, j-1], v[i-1, j], v[i, j-1])
    return v[-1, -1]
    """
    positive("longest_common_subsequence", N=N, M=M)
    return recurrence(LONGEST_COMMON_SUBSEQUENCE, {"match": (N, M)}, i=N + 1, j=M + 1)


@through_torch
def edit_distance(
    a: Any,
    b: Any,
    costs: Mapping[str, Any] | None = None,
    omega: Omega = EXACT,
    *,
    transpositions: bool = False,
    lengths: Any = None,
    on_infeasible: str = "value",
    threads: int | None = None,
    backend: str | None = None,
) -> Any:
    """The least cost of operations that turn string a into string b: [*batch], one number for two strings.

    With one cost of 1 for each operation this is the Levenshtein distance; with transpositions=True the optimal string
    alignment distance (rapidfuzz `OSA`), the restricted one of Damerau's distances: see `levenshtein`. The gradient by
    a cost is the number of these operations in the best edit, or their expected number under another operator.

    a, b : a string; a sequence of integers; or a batch of them, as a list, or as integers [*batch, letters]. A list of
        lists of words compares sequences of words. Batches broadcast: one string has a distance from each of a list.
    costs : {"insertion": ..., "deletion": ..., "substitution": ..., "transposition": ...}; a missing cost is 1. Each
        is a number, or an array by letters: [letters] for insertion and deletion, [letters, letters] as [of a, of b]
        for substitution, and as [first, second] in a for transposition. An integer is its own place in the array, a
        character is at `ord`. +inf forbids an operation. Equal letters pair at cost 0. Tensors can be learnt.
    omega : default HardMax(), the exact distance. Other functions of this package are smooth by default. A distance
        under Negentropy is below the exact one, may be negative, and is not 0 for equal strings.
    lengths : (n_a, n_b), for arrays of integers: how many letters count, each an integer or integers [*batch], 0 or
        more. Letters behind them are never read. Lists have their own lengths.
    on_infeasible, threads, backend : as in `dagdp.dp_value`.

    Returned is a tensor where a, b or a cost is a tensor. For plain distances of many strings rapidfuzz is faster: this
    function is for costs that are learnt.

    Raises InputError (no strings or integers, unknown operations, costs of a wrong shape, NaN, a letter without a cost,
    lengths out of range, batches that do not broadcast).

    >>> float(edit_distance("kitten", "sitting"))
    3.0
    >>> edit_distance("ca", ["abc", "ac", ""], transpositions=True).tolist()
    [3.0, 1.0, 2.0]
    """
    options: dict[str, Any] = {"on_infeasible": on_infeasible, "threads": threads, "backend": backend}
    given = (None, None) if lengths is None else lengths
    if not isinstance(given, list | tuple) or len(given) != 2:
        raise InputError(f"lengths is {lengths!r}; expected a pair (n_a, n_b), each a number or an array [*batch]")
    words: dict[str, int] = {}
    x, y = letters_of(a, "a", given[0], words), letters_of(b, "b", given[1], words)
    try:
        np.broadcast_shapes(x.codes.shape[:-1], y.codes.shape[:-1], x.lengths.shape, y.lengths.shape)
    except ValueError:
        raise InputError(
            f"a has batch axes {x.codes.shape[:-1]} and b {y.codes.shape[:-1]}; expected axes that broadcast"
        ) from None
    price = _costs_of(costs, transpositions, tensors=is_tensor(a) or is_tensor(b))
    sizes = max(x.codes.shape[-1], 1), max(y.codes.shape[-1], 1)
    dag = compiled(levenshtein, *sizes, transpositions, axes=2, grown=(transpositions,), edges=3)
    rows, columns = dag.potentials[0].shape
    theta = _theta(x.grown(rows), y.grown(columns), price)
    return dp_value(dag, theta, omega, end=dag.cell("d", x.lengths, y.lengths), **options)


def _costs_of(costs: Mapping[str, Any] | None, transpositions: bool, tensors: bool) -> dict[str, Any]:
    """A cost for each operation, all of one dtype: arrays, or tensors if `tensors` or where a cost is a tensor."""
    operations = OPERATIONS if transpositions else OPERATIONS[:-1]
    given = {} if costs is None else dict(costs)
    for name in given:
        if name not in operations:
            hint = " (transposition needs transpositions=True)" if name == OPERATIONS[-1] else ""
            raise InputError(f"costs has {name!r}; expected {', '.join(operations)}{hint}")
    numbers = [given.get(name, 1.0) for name in operations]
    if tensors or any(map(is_tensor, numbers)):
        made = _one_kind_of_tensor(numbers)
    else:
        arrays = [np.asarray(number) for number in numbers]
        kinds = [array.dtype for array, number in zip(arrays, numbers, strict=True) if hasattr(number, "dtype")]
        floats = [kind for kind in kinds if kind.kind == "f"] or [np.dtype(np.float64)]
        made = [array.astype(np.result_type(*floats)) for array in arrays]
    for name, cost in zip(operations, made, strict=True):
        axes = 1 if name in OPERATIONS[:2] else 2
        if cost.ndim not in (0, axes) or 0 in cost.shape:
            expected = "[letters]" if axes == 1 else "[letters, letters]"
            raise InputError(
                f"costs[{name!r}] has shape {tuple(cost.shape)}; expected a number, or an array {expected}"
            )
    return dict(zip(operations, made, strict=True))


def _one_kind_of_tensor(numbers: list[Any]) -> list[Any]:
    """The numbers as tensors of one dtype, on the device of the first tensor."""
    torch = sys.modules["torch"]
    given = [number for number in numbers if is_tensor(number)]
    floats = [tensor.dtype for tensor in given if tensor.is_floating_point()] or [torch.get_default_dtype()]
    dtype = floats[0]
    for other in floats[1:]:
        dtype = torch.promote_types(dtype, other)
    device = given[0].device if given else "cpu"
    return [torch.as_tensor(number, dtype=dtype, device=device) for number in numbers]


def _theta(x: Letters, y: Letters, price: Mapping[str, Any]) -> dict[str, Any]:
    """The potentials of `levenshtein` for these strings, each with all batch axes."""
    batch = np.broadcast_shapes(x.codes.shape[:-1], y.codes.shape[:-1], x.lengths.shape, y.lengths.shape)
    first, second = x.codes[..., :, None], y.codes[..., None, :]
    pairs = (*batch, *np.broadcast_shapes(first.shape[-2:], second.shape[-2:]))
    theta = {
        "substitution": _chosen(first == second, 0.0, _of_letters("substitution", price, first, second), pairs),
        "deletion": _spread(_of_letters("deletion", price, x.codes), (*batch, x.codes.shape[-1])),
        "insertion": _spread(_of_letters("insertion", price, y.codes), (*batch, y.codes.shape[-1])),
    }
    if "transposition" in price:
        before = np.roll(first, 1, -2), np.roll(second, 1, -1)
        swapped = (before[0] == second) & (first == before[1]) & (first != before[0])
        cost = _of_letters("transposition", price, before[0], first)
        theta["transposition"] = _chosen(~swapped, np.inf, cost, pairs)
    return theta


def _of_letters(name: str, price: Mapping[str, Any], *codes: Numbers) -> Any:
    """The cost of an operation on these letters: a number where the cost is one, else an entry for each."""
    cost = price[name]
    if not cost.ndim:
        return cost
    for axis, numbers in enumerate(codes):
        wrong = numbers[(numbers < 0) | (numbers >= cost.shape[axis])]
        if wrong.size:
            what = "a word" if wrong[0] >= FIRST_WORD else f"letter number {wrong[0]}"
            raise InputError(
                f"costs[{name!r}] has {cost.shape[axis]} letters, and a string has {what}; expected letters 0 to "
                f"{cost.shape[axis] - 1} (characters are numbered by ord)"
            )
    return cost[tuple(map(sys.modules["torch"].as_tensor, codes)) if is_tensor(cost) else codes]


def _chosen(where: Any, value: float, otherwise: Any, shape: tuple[int, ...]) -> Any:
    """`value` where the condition holds, else the other one, with all axes of `shape`."""
    if is_tensor(otherwise):
        torch = sys.modules["torch"]
        condition = torch.as_tensor(where, device=otherwise.device)
        return torch.where(condition, value, otherwise).expand(shape)
    return np.broadcast_to(np.where(where, otherwise.dtype.type(value), otherwise), shape)


def _spread(values: Any, shape: tuple[int, ...]) -> Any:
    return values.expand(shape) if is_tensor(values) else np.broadcast_to(values, shape)
