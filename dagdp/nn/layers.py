"""Layers: the value or the expected path of a graph inside a network (Definition 1 of the paper).

State is what a user would save: a CRF's transitions, a learnt temperature. Graphs and operators are settings.
Layers return tensors; they take arrays and lists of numbers, too.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from dagdp.compiled import CompiledDAG
from dagdp.errors import InputError
from dagdp.graphs import builders, dtw, linear_chain, viterbi
from dagdp.inputs import broadcast
from dagdp.nn import run
from dagdp.nn.learnable import Learnable, seen
from dagdp.nn.ops import constant_when_traced
from dagdp.nn.tensors import as_tensor, on_one_device, whole_tensor
from dagdp.omega import HardMax, Omega

constant_when_traced(builders.compiled)  # a tracer takes the finished graph, not its making


class DPValue(nn.Module):
    """theta -> DP_Ω(θ) [*batch], for any compiled graph: an energy or a loss. See `dagdp.dp_value`.

    >>> import dagdp
    >>> layer = DPValue(dagdp.compile(dagdp.Graph.from_edges([0, 0], [1, 1])), dagdp.HardMax())
    >>> layer(torch.tensor([[1.0, 2.0], [4.0, 3.0]]))
    tensor([2., 4.])
    """

    def __init__(self, dag: CompiledDAG, omega: Omega | Learnable | None = None, *, minimize: bool = False) -> None:
        super().__init__()
        self.dag, self.omega, self.minimize = dag, omega, minimize

    def forward(self, theta: Any, end: Any = None) -> Tensor:
        """DP_Ω(θ) [*batch]; theta and end as in `dagdp.dp_value`."""
        return run.dp_value(self.dag, theta, self.omega, minimize=self.minimize, end=end)

    def extra_repr(self) -> str:
        return f"{self.dag!r}, {self.omega!r}, minimize={self.minimize}"


class DPGrad(DPValue):
    """theta -> ∇DP_Ω(θ), the expected path, shaped and keyed like theta: attention over structures.

    >>> import dagdp
    >>> layer = DPGrad(dagdp.compile(dagdp.Graph.from_edges([0, 0], [1, 1])), dagdp.SquaredL2(4.0))
    >>> layer(torch.tensor([1.0, 2.0]))
    tensor([0.3750, 0.6250])
    """

    def forward(self, theta: Any, end: Any = None) -> Any:
        """E; theta and end as in `dagdp.dp_grad`."""
        return run.dp_grad(self.dag, theta, self.omega, minimize=self.minimize, end=end)


class Viterbi(nn.Module):
    """theta [*batch, T, S, S] as [t, to, from] -> Vit_Ω(θ) [*batch]; without state. See `dagdp.graphs.viterbi_value`.

    >>> Viterbi()(torch.zeros(3, 2, 2))  # log 8: all state sequences are alike
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
        """The probability of each transition, [*batch, T, S, S]."""
        return viterbi.viterbi_grad(as_tensor(theta, "theta"), self.omega, lengths=lengths, initial=self.initial)

    def decode(self, theta: Tensor, lengths: Any = None) -> Tensor:
        """The best states, int64 [*batch, T], -1 behind an item's length."""
        return viterbi.viterbi_decode(as_tensor(theta, "theta").detach(), lengths=lengths, initial=self.initial)

    def extra_repr(self) -> str:
        return f"{self.omega!r}, initial={self.initial!r}"


class DTW(nn.Module):
    """costs [*batch, N, M] -> DTW_Ω [*batch], the smoothed least cost of an alignment; without state.

    lengths : (n, m), each a number or [*batch], for a padded batch; see `dagdp.graphs.dtw_value`.

    >>> import dagdp
    >>> DTW(dagdp.HardMax())(torch.tensor([[0.0, 1.0, 4.0], [1.0, 0.0, 1.0]]))
    tensor(1.)
    """

    def __init__(self, omega: Omega | Learnable | None = None, *, band: int | None = None) -> None:
        super().__init__()
        self.omega: Any = omega
        self.band = band

    def forward(self, cost: Tensor, lengths: Any = None) -> Tensor:
        """The smoothed least cost [*batch]: a sum over cells, which may be negative."""
        return dtw.dtw_value(as_tensor(cost, "cost"), self.omega, lengths=lengths, band=self.band)

    def alignment(self, cost: Tensor, lengths: Any = None) -> Tensor:
        """The expected alignment [*batch, N, M], each cell's probability."""
        return dtw.dtw_grad(as_tensor(cost, "cost"), self.omega, lengths=lengths, band=self.band)

    def path(self, cost: Tensor, lengths: Any = None) -> Tensor:
        """The least-cost alignment as index pairs, int64 [*batch, N + M - 1, 2], -1 behind its end."""
        return dtw.dtw_path(as_tensor(cost, "cost").detach(), lengths=lengths, band=self.band)

    def extra_repr(self) -> str:
        return f"{self.omega!r}, band={self.band}"


class LinearChainCRF(nn.Module):
    """A linear-chain conditional random field over emission scores [*batch, T, S] of a network.

    A tag sequence y scores start[y_0] + Σ_t emission[t, y_t] + Σ_t transition[y_t, y_{t-1}] + end[y_{T-1}].

    Parameters
    ----------
    num_tags : S.
    omega : default Negentropy(1.0), the CRF of Lafferty et al.; another makes it sparse (paper, section 4.1).

    State: `transition` [to, from], `start`, `end`; set an entry to -inf to forbid it. Emissions may be of a half
    type: what is summed is float32. `lengths` [*batch] says how many steps of each item count, 1 to T; what lies
    behind is never read. The batch is the broadcast of what emission, tags and lengths have in front: one emission
    may have several lengths, and one number may be the length of all.

    Raises InputError (shapes, dtypes, devices, batch dimensions that do not broadcast, tags or lengths out of range).
    Under torch.compile, where numbers are out of sight, a length out of range is an error when the compiled function
    runs, and the score of an item with such tags or lengths is NaN.

    >>> crf = LinearChainCRF(2)
    >>> emission, tags = torch.tensor([[[5.0, 0.0], [0.0, 5.0]]]), torch.tensor([[0, 1]])
    >>> crf(emission, tags).shape, crf.decode(emission).tolist()
    (torch.Size([1]), [[0, 1]])
    """

    def __init__(self, num_tags: int, omega: Omega | Learnable | None = None) -> None:
        super().__init__()
        if isinstance(num_tags, bool) or not isinstance(num_tags, int | np.integer) or num_tags < 1:
            raise InputError(f"num_tags is {num_tags!r}; expected a whole number of tags, at least 1")
        self.num_tags, self.omega = num_tags, omega
        self.transition = nn.Parameter(torch.empty(num_tags, num_tags))
        self.start = nn.Parameter(torch.empty(num_tags))
        self.end = nn.Parameter(torch.empty(num_tags))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Uniform in ±0.1: no tag is preferred much."""
        for parameter in (self.transition, self.start, self.end):
            nn.init.uniform_(parameter, -0.1, 0.1)

    def forward(self, emission: Any, tags: Any, lengths: Any = None) -> Tensor:
        """log p(tags | emission) [*batch], at most 0: `score` - `value`. Its negative mean is the training loss.

        -inf, with gradient 0, where the tags take a forbidden transition.

        With an operator other than Negentropy(1.0) it is minus the structured loss of the paper's section 4.1.
        Differentiable twice.
        """
        score = self.score(emission, tags, lengths)
        return torch.where(score.isneginf(), -torch.inf, score - self.value(emission, lengths))

    def value(self, emission: Any, lengths: Any = None) -> Tensor:
        """DP_Ω [*batch]: the log partition function."""
        dag, theta, end = self._problem(emission, lengths)
        return run.dp_value(dag, theta, self.omega, end=end)

    def score(self, emission: Any, tags: Any, lengths: Any = None) -> Tensor:
        """The score of one tag sequence, tags [*batch, T] in 0 to S-1; behind an item's length they may be anything."""
        emission, counts, (tags,) = self._fitted(emission, lengths, tags)
        T, S = tags.shape[-1], self.num_tags
        inside = None if counts is None else torch.arange(T, device=tags.device) < counts.unsqueeze(-1)
        if inside is not None:
            tags = torch.where(inside, tags, 0)
        wrong = _out_of_range("tags", tags, 0, S - 1)
        if wrong is not None:
            wrong, tags = wrong.any(-1), tags.clamp(0, S - 1)
        emitted = emission.gather(-1, tags.unsqueeze(-1)).squeeze(-1)
        moved = self.transition[tags[..., 1:], tags[..., :-1]]
        final = tags[..., -1:]
        if counts is not None and inside is not None:
            lost = _out_of_range("lengths", counts, 1, T)
            wrong = lost if wrong is None else wrong if lost is None else wrong | lost
            emitted, moved = torch.where(inside, emitted, 0.0), torch.where(inside[..., 1:], moved, 0.0)
            final = tags.gather(-1, (counts.clamp(1, T) - 1).unsqueeze(-1))
        real = torch.promote_types(emitted.dtype, self.start.dtype)
        # one tag as a row of one: an index without dimensions is a number, which vmap hides
        ends = (self.start[tags[..., :1]] + self.end[final]).squeeze(-1)
        scores = ends + emitted.to(real).sum(-1) + moved.sum(-1)
        return scores if wrong is None else torch.where(wrong, torch.nan, scores)

    def marginals(self, emission: Any, lengths: Any = None) -> Tensor:
        """p(tag at step t) [*batch, T, S], 0 behind an item's length; differentiable once."""
        dag, theta, end = self._problem(emission, lengths)
        return run.dp_grad(dag, theta, self.omega, end=end)["emission"]

    def decode(self, emission: Any, lengths: Any = None) -> Tensor:
        """The best tags, int64 [*batch, T], -1 behind an item's length. Ties go to the lower tag."""
        dag, theta, end = self._problem(emission, lengths)
        with torch.no_grad():
            visited = run.dp_grad(dag, theta, HardMax(), end=end)["emission"]
        return torch.where((visited < 0.5).all(-1), -1, visited.argmax(-1))

    def _problem(self, emission: Any, lengths: Any) -> tuple[CompiledDAG, dict[str, Tensor], Tensor | None]:
        emission, counts, _ = self._fitted(emission, lengths)
        T, S = builders.sizes(emission, 2)
        dag = builders.compiled(linear_chain, T, S, counts is not None)
        theta = {"emission": emission, "transition": self.transition, "start": self.start, "end": self.end}
        if counts is None:
            return dag, theta, None
        end = T * S + counts  # end nodes stand behind the start and the states
        return dag, theta, torch.where((counts < 1) | (counts > T), -1, end)  # -1: an error also while traced

    def _fitted(self, emission: Any, lengths: Any, *tags: Any) -> tuple[Tensor, Tensor | None, list[Tensor]]:
        """(emission [*batch, T, S], lengths [*batch] if any, [tags [*batch, T] if any]), checked."""
        emission = as_tensor(emission, "emission")
        if emission.ndim < 2 or emission.shape[-1] != self.num_tags or emission.shape[-2] < 1:
            raise InputError(
                f"emission has shape {tuple(emission.shape)}; expected [*batch, T, {self.num_tags}], one score a tag, "
                "and at least one step"
            )
        own = {"transition": self.transition, "start": self.start, "end": self.end}
        mend = f"move the layer or the emission, as by crf.to({str(emission.device)!r})"
        on_one_device([("emission", emission), *((f"the layer's {name}", block) for name, block in own.items())], mend)
        T, shapes = emission.shape[-2], [("emission", tuple(emission.shape[:-2]))]
        counts, states = None, [whole_tensor(given, "tags", emission.device) for given in tags]
        for given in states:
            if given.shape[-1:] != (T,):
                raise InputError(
                    f"tags has shape {tuple(given.shape)}; expected [*batch, {T}], one tag a step of emission"
                )
            shapes.append(("tags", tuple(given.shape[:-1])))
        if lengths is not None:
            counts = whole_tensor(lengths, "lengths", emission.device)
            _out_of_range("lengths", counts, 1, T)
            shapes.append(("lengths", tuple(counts.shape)))
        batch = broadcast(shapes)
        return (
            emission.expand(*batch, *emission.shape[-2:]),
            None if counts is None else counts.expand(batch),
            [given.expand(*batch, T) for given in states],
        )

    def extra_repr(self) -> str:
        return f"{self.num_tags}, {self.omega!r}"


def _out_of_range(what: str, numbers: Tensor, low: int, high: int) -> Tensor | None:
    """None where all whole numbers are seen to lie in the range, InputError where one is seen not to; where they are
    out of sight, which do not."""
    values = seen(numbers)
    if values is None:
        return (numbers < low) | (numbers > high)
    wrong = (values < low) | (values > high)
    if wrong.any():
        place = wrong.nonzero()[0].tolist()
        raise InputError(f"{what}{place or ''} is {values[tuple(place)].item()}; expected {low} to {high}")
    return None
