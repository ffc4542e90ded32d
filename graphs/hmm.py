"""Hidden Markov models: likelihood, posteriors, decoding and samples of state sequences, from log-probabilities.

Arguments of all functions: log_start [*batch, S], log_transition [*batch, S, S] as [to, from], and log_emission
[*batch, T, S], the log-probability (or density) of the observation at each step in each state. A start or a transition
without batch axes is shared by the batch. Nothing needs to be normalised.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from dagdp import CompiledDAG, InputError, Omega, Paths, best_path, dp_grad, dp_value, sample_paths
from dagdp.array_kinds import plain_array
from dagdp.cuda import through_torch
from dagdp.graphs.ragged.compiled_cache import compiled
from dagdp.graphs.ragged.padding import cut, ends_in, may_pad, padded, sizes
from dagdp.graphs.sequences import hmm


@through_torch
def hmm_value(
    log_start: Any,
    log_transition: Any,
    log_emission: Any,
    omega: Omega | None = None,
    *,
    lengths: Any = None,
    on_infeasible: str = "value",
    threads: int | None = None,
    backend: str | None = None,
) -> Any:
    """The log-likelihood of the observations of each item: [*batch], in the dtype of the arguments.

    log Σ over state sequences y of p(y, observations) under the default Negentropy(1.0); HardMax() gives the best
    log p(y, observations). hmmlearn calls them `score`, and the score that `decode` returns.

    log_start : [*batch, S] or [S]; -inf for a state in which no sequence begins.
    log_transition : [*batch, S, S] or [S, S] as [to, from]; -inf for a step that is never made. Packages that follow
        Rabiner, such as hmmlearn, have `transmat_` as [from, to]: pass `np.log(model.transmat_.T)`.
    log_emission : [*batch, T, S].
    omega : default Negentropy(1.0).
    lengths : the number of steps of each item, 1 to T, an integer or integers [*batch]; later steps are never read and
        may hold NaN. The batch is the broadcast of the leading axes of all arguments, lengths included.
    on_infeasible, threads, backend : as in `dagdp.dp_value`.

    Raises InputError (shape, dtype, NaN or +inf, lengths out of range).

    >>> import numpy as np
    >>> half = np.log(np.full((2, 2), 0.5))
    >>> float(np.exp(hmm_value(half[0], half, np.log([[0.5, 0.1], [0.5, 0.1]]))).round(6))
    0.09
    """
    options: dict[str, Any] = {"on_infeasible": on_infeasible, "threads": threads, "backend": backend}
    model = _model_of(log_start, log_transition, log_emission, lengths)
    return dp_value(model.dag, model.theta, omega, end=model.end, **options)


@through_torch
def hmm_posterior(
    log_start: Any,
    log_transition: Any,
    log_emission: Any,
    omega: Omega | None = None,
    *,
    lengths: Any = None,
    on_infeasible: str = "value",
    threads: int | None = None,
    backend: str | None = None,
) -> Any:
    """The probability of each state at each step, given all observations: [*batch, T, S].

    The forward-backward algorithm; hmmlearn's `predict_proba`. A row sums to 1, or to 0 behind an item's length. The
    expected number of each transition, for Baum-Welch, is the derivative of `hmm_value` by log_transition: by torch, or
    by `dagdp.dp_grad` on the graph `dagdp.graphs.sequences.hmm(T, S)`. Parameters and errors are those of `hmm_value`.

    >>> import numpy as np
    >>> half = np.log(np.full((2, 2), 0.5))
    >>> hmm_posterior(half[0], half, np.log([[0.6, 0.2], [0.5, 0.5]])).round(6).tolist()
    [[0.75, 0.25], [0.5, 0.5]]
    """
    options: dict[str, Any] = {"on_infeasible": on_infeasible, "threads": threads, "backend": backend}
    model = _model_of(log_start, log_transition, log_emission, lengths)
    return cut(dp_grad(model.dag, model.theta, omega, end=model.end, **options)["emission"], model.own)


@through_torch
def hmm_decode(log_start: Any, log_transition: Any, log_emission: Any, *, lengths: Any = None) -> Any:
    """The most probable state sequence (Viterbi): int64 [*batch, T], -1 behind an item's length.

    hmmlearn's `predict`. An item without any sequence has -1 at each step. Ties go to the lower state, from the last
    step backwards. A tensor where the arguments are tensors. Parameters and errors are those of `hmm_value`.

    >>> import numpy as np
    >>> stay = np.log([[0.9, 0.1], [0.1, 0.9]])
    >>> hmm_decode(np.log([0.5, 0.5]), stay, np.log([[0.9, 0.1], [0.4, 0.6], [0.9, 0.1]])).tolist()
    [0, 0, 0]
    """
    model = _model_of(log_start, log_transition, log_emission, lengths)
    return model.states(best_path(model.dag, model.theta, end=model.end))


@through_torch
def hmm_sample(
    log_start: Any,
    log_transition: Any,
    log_emission: Any,
    omega: Omega | None = None,
    n: int = 1,
    seed: Any = None,
    *,
    lengths: Any = None,
) -> Any:
    """n state sequences of each item, drawn given the observations: int64 [*batch, n, T], -1 behind an item's length.

    Forward filtering, backward sampling: exact and independent draws from p(y | observations). n and seed are those of
    `dagdp.sample_paths`, the other parameters those of `hmm_value`. A tensor where the arguments are tensors.

    Raises InputError as `hmm_value` does, and for an item without any state sequence.

    >>> import numpy as np
    >>> half = np.log(np.full((2, 2), 0.5))
    >>> hmm_sample(half[0], half, np.log([[0.8, 1e-9], [1e-9, 0.8]]), n=3, seed=0).tolist()
    [[0, 1], [0, 1], [0, 1]]
    """
    model = _model_of(log_start, log_transition, log_emission, lengths)
    return model.states(sample_paths(model.dag, model.theta, omega, n, seed, end=model.end))


class _Model(NamedTuple):
    """A graph that may have more steps than the data, and the data laid out for the graph."""

    dag: CompiledDAG
    theta: dict[str, Any]
    end: Any  # `end=` of the items
    own: tuple[int, int]  # T, S

    def states(self, paths: Paths) -> Any:
        """[*axes, T] the states along paths, -1 behind their ends.

        Nodes of a path are the start, a cell v[t, i] for each step, and an end, which is numbered behind all cells.
        """
        T, S = self.own
        cells = paths.nodes[..., 1 : T + 1] - self.dag.cell("v", 0, 0)
        visited = cells % S
        visited[(cells < 0) | (cells >= S * self.dag.potentials[-1].shape[0])] = -1
        shape = *visited.shape[:-1], T  # the arrays of paths are as wide as the longest path
        states = np.full(shape, -1) if isinstance(visited, np.ndarray) else visited.new_full(shape, -1)
        states[..., : visited.shape[-1]] = visited
        return states


def _model_of(log_start: Any, log_transition: Any, log_emission: Any, lengths: Any) -> _Model:
    """The graph and theta. Raises InputError for shapes that do not fit."""
    axes = 1 if may_pad(log_emission) else 0
    start, transition, emission = (
        given if hasattr(given, "shape") else plain_array(given, name)
        for name, given in (
            ("log_start", log_start),
            ("log_transition", log_transition),
            ("log_emission", log_emission),
        )
    )
    if len(emission.shape) < 2:
        raise InputError(f"log_emission has shape {tuple(emission.shape)}; expected [*batch, T, S]")
    T, S = sizes(emission, 2)
    for name, given, own, expected in (
        ("log_start", start, (S,), "[*batch, S]"),
        ("log_transition", transition, (S, S), "[*batch, S, S], indexed [to, from],"),
    ):
        if tuple(given.shape)[-len(own) :] != own:
            raise InputError(f"{name} has shape {tuple(given.shape)}; expected {expected} with S = {S} of log_emission")
    leading = [start.shape[:-1], transition.shape[:-2], emission.shape[:-2], np.shape(lengths)]  # None has no axes
    try:
        batch = np.broadcast_shapes(*map(tuple, leading))
    except ValueError:
        raise InputError(
            f"log_start, log_transition, log_emission and lengths have batch axes {[tuple(axes) for axes in leading]}; "
            "expected axes that broadcast"
        ) from None
    dag = compiled(hmm, T, S, lengths is not None, axes=axes, grown=(S, True), edges=S * S)
    theta = {
        "start": start if start.ndim == 1 else _expanded(start, (*batch, S)),
        "transition": transition if transition.ndim == 2 else _expanded(transition, (*batch, S, S)),
        "emission": padded(_expanded(emission, (*batch, T, S)), (T, S), dag.potentials[-1].shape, "log_emission"),
    }
    return _Model(dag, theta, ends_in(dag, lengths, (T,), batch), (T, S))


def _expanded(values: Any, shape: tuple[int, ...]) -> Any:
    """An array or tensor with all batch axes. Arrays are copied: torch warns about views that cannot be written."""
    if tuple(values.shape) == shape:
        return values
    return np.broadcast_to(values, shape, subok=True).copy() if isinstance(values, np.ndarray) else values.expand(shape)
