"""Layers: the value or the expected path of a graph inside a network (Definition 1 of the paper).

A layer's state is what a user saves, such as a trained temperature; graphs and operators are settings. Layers take
tensors, arrays and lists of numbers, and return tensors. `LinearChainCRF` is in `dagdp.nn.crf`.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from dagdp.compiled.dag import CompiledDAG
from dagdp.engine.inputs import Options, as_written
from dagdp.functions import front_end_of_tensors
from dagdp.graphs import dtw, viterbi
from dagdp.graphs.ragged import compiled_cache
from dagdp.nn.autograd.learnable import Learnable
from dagdp.nn.autograd.operators import constant_when_traced
from dagdp.nn.autograd.tensors import as_tensor
from dagdp.nn.fitted import check_options
from dagdp.omega import Omega

OPTIONS = ("steps", "window", "open_begin", "open_end", "psi")  # of DTW, handed to the shortcuts
constant_when_traced(compiled_cache.compiled)  # torch.compile takes the compiled graph as a constant


class DPValue(nn.Module):
    """theta [*batch, *shape] -> DP_Ω(θ) [*batch], for any compiled graph: an energy or a loss. See `dagdp.dp_value`.

    >>> import dagdp, torch
    >>> layer = DPValue(dagdp.compile(dagdp.Graph.from_edges([0, 0], [1, 1])), dagdp.HardMax())
    >>> layer(torch.tensor([[1.0, 2.0], [4.0, 3.0]]))
    tensor([2., 4.])
    """

    def __init__(
        self, dag: CompiledDAG, omega: Omega | Learnable | None = None, *, minimize: bool | None = None
    ) -> None:
        super().__init__()
        self.dag, self.omega, self.minimize = dag, omega, as_written(dag, minimize)

    def forward(self, theta: Any, end: Any = None, start: Any = None) -> Tensor:
        """DP_Ω(θ) [*batch]; theta, end and start as in `dagdp.dp_value`."""
        options = Options(self.minimize, start, end)
        found: Tensor = front_end_of_tensors(self.dag).value(self.dag, theta, self.omega, options)
        return found

    def extra_repr(self) -> str:
        return f"{self.dag!r}, {self.omega!r}, minimize={self.minimize}"


class DPGrad(DPValue):
    """theta [*batch, *shape] -> ∇DP_Ω(θ), the expected path, shaped and keyed like theta.

    >>> import dagdp, torch
    >>> layer = DPGrad(dagdp.compile(dagdp.Graph.from_edges([0, 0], [1, 1])), dagdp.SquaredL2(4.0))
    >>> layer(torch.tensor([1.0, 2.0]))
    tensor([0.3750, 0.6250])
    """

    def forward(self, theta: Any, end: Any = None, start: Any = None) -> Any:
        """E; theta, end and start as in `dagdp.dp_grad`."""
        return front_end_of_tensors(self.dag).grad(self.dag, theta, self.omega, Options(self.minimize, start, end))


class Viterbi(nn.Module):
    """theta [*batch, T, S, S], [t, to, from] -> Vit_Ω(θ) [*batch]; no state. See `dagdp.graphs.viterbi_value`.

    >>> import torch
    >>> Viterbi()(torch.zeros(3, 2, 2))  # log 8: all state sequences have equal scores
    tensor(2.0794)
    """

    def __init__(self, omega: Omega | Learnable | None = None, *, initial: str = "single") -> None:
        super().__init__()
        self.omega: Any = omega
        self.initial = initial

    def forward(self, theta: Tensor, lengths: Any = None) -> Tensor:
        """The smoothed best score [*batch]."""
        return viterbi.viterbi_value(as_tensor(theta, "theta"), self.omega, lengths=lengths, initial=self.initial)

    def expected_path(self, theta: Tensor, lengths: Any = None) -> Tensor:
        """The probability of each transition [*batch, T, S, S], in [0, 1]."""
        return viterbi.viterbi_grad(as_tensor(theta, "theta"), self.omega, lengths=lengths, initial=self.initial)

    def decode(self, theta: Tensor, lengths: Any = None) -> Tensor:
        """The best states, int64 [*batch, T], -1 behind an item's length."""
        return viterbi.viterbi_decode(as_tensor(theta, "theta").detach(), lengths=lengths, initial=self.initial)

    def extra_repr(self) -> str:
        return f"{self.omega!r}, initial={self.initial!r}"


class DTW(nn.Module):
    """costs [*batch, N, M] -> DTW_Ω [*batch], the smoothed least cost of an alignment.

    lengths : (n, m), each a number or [*batch], for a padded batch; see `dagdp.graphs.dtw_value`.
    penalty : a number, or a `torch.nn.Parameter`, which is the layer's state then.
    options : steps=, window=, open_begin=, open_end= and psi= of `dagdp.graphs.dtw_value`.

    Raises InputError for an unknown option.

    >>> import dagdp, torch
    >>> DTW(dagdp.HardMax())(torch.tensor([[0.0, 1.0, 4.0], [1.0, 0.0, 1.0]]))
    tensor(1.)
    >>> DTW(dagdp.HardMax(), steps="symmetric2", window=1)
    DTW(HardMax(), band=None, steps='symmetric2', window=1)
    """

    def __init__(
        self,
        omega: Omega | Learnable | None = None,
        *,
        band: int | None = None,
        penalty: Any = None,
        **options: Any,
    ) -> None:
        super().__init__()
        check_options("DTW", options, set(OPTIONS))
        self.omega: Any = omega
        self.band = band
        self.penalty = penalty
        self.options = options

    def forward(self, cost: Tensor, lengths: Any = None) -> Tensor:
        """The smoothed least cost [*batch] in the unit of the costs, a sum over cells; it may be negative."""
        return dtw.dtw_value(as_tensor(cost, "cost"), self.omega, **self._named(lengths))

    def alignment(self, cost: Tensor, lengths: Any = None) -> Tensor:
        """The expected alignment [*batch, N, M]: the probability of each cell, in [0, 1]."""
        return dtw.dtw_grad(as_tensor(cost, "cost"), self.omega, **self._named(lengths))

    def path(self, cost: Tensor, lengths: Any = None) -> Tensor:
        """The least-cost alignment as index pairs, int64 [*batch, N + M - 1, 2], -1 behind its end."""
        return dtw.dtw_path(as_tensor(cost, "cost").detach(), **self._named(lengths))

    def _named(self, lengths: Any) -> dict[str, Any]:
        return {"lengths": lengths, "band": self.band, "penalty": self.penalty, **self.options}

    def extra_repr(self) -> str:
        shown = [f"{name}={value!r}" for name, value in self.options.items()]
        if self.penalty is not None and not isinstance(self.penalty, nn.Parameter):
            shown.insert(0, f"penalty={self.penalty}")
        return ", ".join([repr(self.omega), f"band={self.band}", *shown])
