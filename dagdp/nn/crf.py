"""A linear-chain conditional random field as a layer."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

import dagdp
from dagdp.array_kinds import on_accelerator
from dagdp.compiled.dag import CompiledDAG
from dagdp.engine.inputs import Options, broadcast
from dagdp.errors import DerivativeError, InputError
from dagdp.graphs import linear_chain
from dagdp.graphs.ragged import compiled_cache, padding
from dagdp.nn.autograd import functions
from dagdp.nn.autograd.device import faults
from dagdp.nn.autograd.learnable import Learnable, hidden, scaled, seen
from dagdp.nn.autograd.tensors import as_tensor, on_device, on_one_device, whole_tensor
from dagdp.nn.tagging import checked_legal, flags
from dagdp.omega import HardMax, Omega

REDUCTIONS = ("none", "sum", "mean", "token_mean")


class LinearChainCRF(nn.Module):
    """A linear-chain conditional random field over emission scores [*batch, T, S] of a network.

    A tag sequence y scores start[y_0] + Σ_t emission[t, y_t] + Σ_t transition[y_t, y_{t-1}] + end[y_{T-1}].

    Parameters
    ----------
    num_tags : S.
    omega : default Negentropy(1.0), the CRF of Lafferty et al.; other operators make it sparse (paper, section 4.1).
    allowed : the legal transitions, boolean (transition [S, S] as [to, from], start [S], end [S]), as from
        `legal_transitions`. Default: all. Illegal ones score -inf, and their parameters get gradient 0.
    boundaries : False for no scores of the first and the last tag (paper, section 4.2): `start` and `end` stay 0 and
        are not trained.
    device, dtype : of the parameters, as in the layers of torch.

    State: `transition` [S, S] as [to, from], `start` [S], `end` [S]; an entry set to -inf is forbidden, too. Emissions
    may be of a half type; sums are float32. The batch is the broadcast of the batch dimensions of emission, tags and
    lengths: an emission may have several lengths, and a single number may be the length of all items.

    Arguments of all methods:

    emission : [*batch, T, S], the score of each tag at each step.
    lengths : integers [*batch], how many steps of each item count, 1 to T; steps behind are never read.
    mask : boolean [*batch, T], instead of lengths: True for the steps that count, which come first.
    allowed : (methods without tags) boolean [*batch, T, S], the tags that an item may have at each step, such as a
        partial labelling: `value(emission) - value(emission, allowed=...)` is the training loss for it. Where no
        sequence is allowed the value is -inf, with gradient 0.

    Raises InputError (shapes, dtypes, devices, batch dimensions that do not broadcast, tags or lengths out of range, a
    mask with a gap, both lengths and mask). Under torch.compile numbers cannot be checked: a length out of range is an
    error when the compiled function runs, and the score of an item with wrong tags or lengths is NaN.

    >>> crf = LinearChainCRF(2)
    >>> emission, tags = torch.tensor([[[5.0, 0.0], [0.0, 5.0]]]), torch.tensor([[0, 1]])
    >>> crf(emission, tags).shape, crf.decode(emission).tolist()
    (torch.Size([1]), [[0, 1]])
    >>> crf.decode(emission, allowed=torch.tensor([[False, True], [True, True]])).tolist()
    [[1, 1]]
    """

    def __init__(
        self,
        num_tags: int,
        omega: Omega | Learnable | None = None,
        *,
        allowed: Any = None,
        boundaries: bool = True,
        device: Any = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        if isinstance(num_tags, bool) or not isinstance(num_tags, int | np.integer) or num_tags < 1:
            raise InputError(f"num_tags is {num_tags!r}; expected a whole number of tags, at least 1")
        self.num_tags, self.omega, self.boundaries = num_tags, omega, boundaries
        self.transition = nn.Parameter(torch.empty(num_tags, num_tags, device=device, dtype=dtype))
        self.start = nn.Parameter(torch.empty(num_tags, device=device, dtype=dtype))
        self.end = nn.Parameter(torch.empty(num_tags, device=device, dtype=dtype))
        legal = None if allowed is None else checked_legal(allowed, int(num_tags))
        for name in ("transition", "start", "end"):  # a setting: moved with the layer to a device, but not saved
            own = None if legal is None else getattr(legal, name).to(device)
            self.register_buffer(f"legal_{name}", own, persistent=False)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Uniform in ±0.1, so that no tag is much preferred. Without boundary scores `start` and `end` are 0."""
        for parameter in (self.transition, self.start, self.end):
            nn.init.uniform_(parameter, -0.1, 0.1)
        if not self.boundaries:
            nn.init.zeros_(self.start).requires_grad_(False)
            nn.init.zeros_(self.end).requires_grad_(False)

    def forward(
        self, emission: Any, tags: Any, lengths: Any = None, *, mask: Any = None, reduction: str = "none"
    ) -> Tensor:
        """log p(tags | emission) [*batch], at most 0: `score` - `value`. The negative mean is the training loss.

        tags : integers [*batch, T] in 0 to S-1.
        reduction : as in pytorch-crf. "none": [*batch]. "sum": the sum over items. "mean": the sum divided by the
            number of items. "token_mean": the sum divided by the number of steps that count.

        -inf, with gradient 0, where the tags use a forbidden transition. With an operator other than Negentropy(1.0)
        it is minus the structured loss of the paper's section 4.1; under SquaredL2 it may exceed 0, by γ/2 for each
        step and for the end. Differentiable twice.
        """
        if reduction not in REDUCTIONS:
            raise InputError(f"reduction is {reduction!r}; expected one of {list(REDUCTIONS)}")
        score = self.score(emission, tags, lengths, mask=mask)
        likelihood = torch.where(score.isneginf(), -torch.inf, score - self.value(emission, lengths, mask=mask))
        if reduction == "none":
            return likelihood
        if reduction != "token_mean":
            return likelihood.mean() if reduction == "mean" else likelihood.sum()
        given = self._checked(emission, lengths, mask, None, tags)
        tokens = likelihood.numel() * given.emission.shape[-2] if given.counts is None else given.counts.sum()
        return likelihood.sum() / tokens

    def value(self, emission: Any, lengths: Any = None, *, mask: Any = None, allowed: Any = None) -> Tensor:
        """DP_Ω [*batch], the log partition function over the allowed sequences. Differentiable twice."""
        dag, theta, end = self._problem(self._checked(emission, lengths, mask, allowed))
        return functions.value(dag, theta, self.omega, Options(end=end))

    def score(self, emission: Any, tags: Any, lengths: Any = None, *, mask: Any = None) -> Tensor:
        """The score [*batch] of tags [*batch, T] in 0 to S-1; tags behind an item's length may be any numbers."""
        given = self._checked(emission, lengths, mask, None, tags)
        emission, counts, tags, own = given.emission, given.counts, given.tags, self._own()
        T, S = tags.shape[-1], self.num_tags
        inside = None if counts is None else torch.arange(T, device=tags.device) < counts.unsqueeze(-1)
        if inside is not None:
            tags = torch.where(inside, tags, 0)
        wrong = _out_of_range("tags", tags, 0, S - 1)
        if wrong is not None:
            wrong, tags = wrong.any(-1), tags.clamp(0, S - 1)
        emitted = emission.gather(-1, tags.unsqueeze(-1)).squeeze(-1)
        moved = own["transition"][tags[..., 1:], tags[..., :-1]]
        final = tags[..., -1:]
        if counts is not None and inside is not None:
            lost = _out_of_range("lengths", counts, 1, T)
            wrong = lost if wrong is None else wrong if lost is None else wrong | lost
            emitted, moved = torch.where(inside, emitted, 0.0), torch.where(inside[..., 1:], moved, 0.0)
            final = tags.gather(-1, (counts.clamp(1, T) - 1).unsqueeze(-1))
        real = torch.promote_types(emitted.dtype, self.start.dtype)
        # a row of length 1: an index without dimensions is read as a number, which vmap cannot give
        ends = (own["start"][tags[..., :1]] + own["end"][final]).squeeze(-1)
        scores = ends + emitted.to(real).sum(-1) + moved.sum(-1)
        return scores if wrong is None else torch.where(wrong, torch.nan, scores)

    def marginals(self, emission: Any, lengths: Any = None, *, mask: Any = None, allowed: Any = None) -> Tensor:
        """p(tag at step t) [*batch, T, S] in [0, 1], 0 behind an item's length. Differentiable once."""
        given = self._checked(emission, lengths, mask, allowed)
        dag, theta, end = self._problem(given)
        return padding.cut(functions.grad(dag, theta, self.omega, Options(end=end))["emission"], given.sizes)

    def decode(self, emission: Any, lengths: Any = None, *, mask: Any = None, allowed: Any = None) -> Tensor:
        """The best tags, int64 [*batch, T], -1 behind an item's length. Ties go to the lower tag.

        An item without an allowed sequence has -1 at every step.
        """
        with torch.no_grad():
            given = self._checked(emission, lengths, mask, allowed)
            dag, theta, end = self._problem(given)
            visited = padding.cut(functions.grad(dag, theta, HardMax(), Options(end=end))["emission"], given.sizes)
        return torch.where((visited < 0.5).all(-1), -1, visited.argmax(-1))

    def k_best(
        self, emission: Any, k: int, lengths: Any = None, *, mask: Any = None, allowed: Any = None
    ) -> tuple[Tensor, Tensor]:
        """(tags, scores) of the k sequences of highest score, best first; constants to autograd.

        tags are int64 [*batch, k, T], -1 behind an item's length. scores are [*batch, k], in the common dtype of the
        emission and the parameters. If an item has fewer than k allowed sequences, further tags are -1 and scores -inf.
        The order is by score under every operator. See `dagdp.k_best`.

        >>> crf = LinearChainCRF(2)
        >>> tags, scores = crf.k_best(torch.tensor([[9.0, 0.0], [4.0, 0.0]]), 5)
        >>> tags[:2].tolist(), scores[4].item()
        ([[0, 0], [0, 1]], -inf)
        """
        with torch.no_grad():
            given = self._checked(emission, lengths, mask, allowed)
            dag, theta, end = self._problem(given)
            paths = dagdp.k_best(dag, theta, k, end=end)
        found = paths.scores.shape[-1]
        scores = nn.functional.pad(paths.scores, (0, k - found), value=-torch.inf)
        return nn.functional.pad(self._tags(paths, given), (0, 0, 0, k - found), value=-1), scores

    def sample(
        self,
        emission: Any,
        n: int = 1,
        lengths: Any = None,
        seed: Any = None,
        *,
        mask: Any = None,
        allowed: Any = None,
    ) -> Tensor:
        """n tag sequences drawn from the distribution: int64 [*batch, n, T], -1 behind an item's length.

        At each step, tags have the frequencies of `marginals`. See `dagdp.sample_paths`.

        seed : an integer, a generator of torch or of NumPy, or None for fresh draws.

        Raises InputError where an item has no allowed sequence.

        >>> LinearChainCRF(2).sample(torch.tensor([[99.0, 0.0], [0.0, 99.0]]), n=3, seed=0).tolist()
        [[0, 1], [0, 1], [0, 1]]
        """
        with torch.no_grad():
            given = self._checked(emission, lengths, mask, allowed)
            dag, theta, end = self._problem(given)
            weights, omega = self._at_one(theta)
            paths = dagdp.sample_paths(dag, weights, omega, n, seed, end=end)
        return self._tags(paths, given)

    def support(
        self, emission: Any, lengths: Any = None, limit: int = 1000, *, mask: Any = None, allowed: Any = None
    ) -> tuple[Tensor, Tensor]:
        """(tags, probabilities) of all sequences of non-zero probability, likeliest first (paper, section C.1).

        tags are int64 [*batch, m, T], -1 behind an item's length; probabilities [*batch, m] sum to 1. Items with fewer
        than m sequences have tags -1 and probability 0 at the end. Both are constants to autograd. A sparse operator
        such as SquaredL2 has few sequences; Negentropy has up to S^T.

        Raises InputError where an item has more than `limit` sequences. See `dagdp.support`.

        >>> from dagdp import SquaredL2
        >>> crf = LinearChainCRF(2, SquaredL2(1.0))
        >>> crf.support(torch.tensor([[9.0, 0.0], [0.0, 9.0]]))
        (tensor([[0, 1]]), tensor([1.]))
        """
        with torch.no_grad():
            given = self._checked(emission, lengths, mask, allowed)
            dag, theta, end = self._problem(given)
            weights, omega = self._at_one(theta)
            found = dagdp.support(dag, weights, omega, limit, end=end)
        return self._tags(found.paths, given), found.probabilities

    def entropy(self, emission: Any, lengths: Any = None, *, mask: Any = None, allowed: Any = None) -> Tensor:
        """-Σ_y p(y) log p(y) over tag sequences y, in nats: [*batch], from 0 to T log S. Differentiable once.

        0 where no sequence is allowed. See `dagdp.entropy`. If Tsallis's alpha is a tensor that requires a gradient:
        DerivativeError.

        >>> crf = LinearChainCRF(2)
        >>> bool(crf.entropy(torch.tensor([[99.0, 0.0], [0.0, 99.0]])) < 1e-6)
        True
        """
        dag, theta, end = self._problem(self._checked(emission, lengths, mask, allowed))
        weights, omega = self._at_one(theta)
        alpha = self.omega.learnt_alpha if isinstance(self.omega, Learnable) else None
        if alpha is not None and alpha.requires_grad and torch.is_grad_enabled():
            raise DerivativeError("entropy has no derivative by alpha; expected torch.no_grad(), or alpha as a number")
        value: Tensor = dagdp.entropy(dag, weights, omega, end=end)
        return value

    def _problem(self, given: CheckedEmission) -> tuple[CompiledDAG, dict[str, Tensor], Any]:
        """(the graph, theta, `end=`). The graph may have more steps than T; the emission is then padded."""
        emission, counts = given.emission, given.counts
        T, S = padding.sizes(emission, 2)
        dag = compiled_cache.compiled(linear_chain, T, S, counts is not None, axes=1, grown=(S, True), edges=S * S)
        whole = dag.potentials[0].shape
        theta = {"emission": padding.padded(emission, (T, S), whole), **self._own()}
        if counts is None:
            return dag, theta, padding.ends_in(dag, None, (T,), ())
        end = whole[0] * S + counts  # end nodes stand behind the start and the states
        return dag, theta, torch.where((counts < 1) | (counts > T), -1, end)  # -1: an error also while traced

    def _own(self) -> dict[str, Tensor]:
        """The parameters by name, -inf where a transition is illegal."""
        own: dict[str, Tensor] = {}
        for name in ("transition", "start", "end"):
            legal, block = getattr(self, f"legal_{name}"), getattr(self, name)
            own[name] = block if legal is None else torch.where(legal, block, -torch.inf)
        return own

    def _at_one(self, theta: dict[str, Tensor]) -> tuple[dict[str, Tensor], Omega | None]:
        """(θ/γ, the operator at temperature 1), with equal path distribution: DP_γΩ(θ) = γ DP_Ω(θ/γ)."""
        if not isinstance(self.omega, Learnable):
            return theta, self.omega
        gamma = self.omega.on_device_of(theta["emission"]).temperature()
        return {name: scaled(block, 1.0 / gamma) for name, block in theta.items()}, self.omega.operator()

    def _tags(self, paths: Any, given: CheckedEmission) -> Tensor:
        """Tags [*axes, T] from paths of the graph: node 1 + t S + s is state s at step t; the last node is an end."""
        T, S = given.sizes
        states = nn.functional.pad(paths.nodes[..., 1 : T + 1], (0, max(0, T + 1 - paths.nodes.shape[-1])), value=-1)
        step = torch.arange(T, device=states.device)
        return torch.where(step < paths.lengths.unsqueeze(-1) - 1, states - 1 - step * S, -1)

    def _checked(
        self, emission: Any, lengths: Any, mask: Any = None, allowed: Any = None, *tags: Any
    ) -> CheckedEmission:
        """A method's arguments, checked and expanded to the batch; the emission is -inf where a tag is not allowed."""
        emission = as_tensor(emission, "emission")
        if emission.ndim < 2 or emission.shape[-1] != self.num_tags or emission.shape[-2] < 1:
            raise InputError(
                f"emission has shape {tuple(emission.shape)}; expected [*batch, T, {self.num_tags}], one score a tag, "
                "and at least one step"
            )
        own = {"transition": self.transition, "start": self.start, "end": self.end}
        mend = f"move the layer or the emission, as by crf.to({str(emission.device)!r})"
        on_one_device([("emission", emission), *((f"the layer's {name}", block) for name, block in own.items())], mend)
        T, device, shapes = emission.shape[-2], emission.device, [("emission", tuple(emission.shape[:-2]))]
        states = [whole_tensor(given, "tags", device) for given in tags]  # empty for a method without tags
        for given in states:
            _check_last("tags", given, (T,), "one tag a step of emission")
            shapes.append(("tags", tuple(given.shape[:-1])))
        if mask is not None:
            if lengths is not None:
                raise InputError("both lengths and mask were given; expected one of them: they say the same")
            counts, what = _counts(mask, T, device), "mask"
        elif lengths is not None:
            given = whole_tensor(lengths, "lengths", device if on_accelerator(lengths) else "cpu")
            _out_of_range("lengths", given, 1, T)
            counts, what = on_device(given, "lengths", device), "lengths"
        else:
            counts, what = None, ""
        if counts is not None:
            shapes.append((what, tuple(counts.shape)))
        permitted = None if allowed is None else flags(allowed, "allowed", device)
        if permitted is not None:
            _check_last("allowed", permitted, (T, self.num_tags), "True for each tag that a step may have")
            shapes.append(("allowed", tuple(permitted.shape[:-2])))
        batch = broadcast(shapes)
        if permitted is not None:
            emission = torch.where(permitted, emission, -torch.inf)
        return CheckedEmission(
            emission.expand(*batch, T, self.num_tags),
            None if counts is None else counts.expand(batch),
            *(given.expand(*batch, T) for given in states),
        )

    def extra_repr(self) -> str:
        return f"{self.num_tags}, {self.omega!r}"


class CheckedEmission(NamedTuple):
    """Checked arguments of a method of a CRF, as tensors of one batch."""

    emission: Tensor  # [*batch, T, S]
    counts: Tensor | None  # [*batch] lengths
    tags: Any = None  # [*batch, T], where a method takes them

    @property
    def sizes(self) -> tuple[int, ...]:
        """(T, S)."""
        return padding.sizes(self.emission, 2)


def _check_last(what: str, given: Tensor, shape: tuple[int, ...], meaning: str) -> None:
    """Raise InputError unless the last dimensions have this shape."""
    if tuple(given.shape[-len(shape) :]) != shape:
        expected = ", ".join(map(str, shape))
        raise InputError(f"{what} has shape {tuple(given.shape)}; expected [*batch, {expected}], {meaning}")


def _counts(mask: Any, T: int, device: torch.device) -> Tensor:
    """[*batch] how many steps of a mask [*batch, T] count.

    Raises InputError for a row that is not Trues, then Falses. Where numbers cannot be read, the count is then 0.
    """
    steps = flags(mask, "mask", device)
    _check_last("mask", steps, (T,), "True for each step of emission that counts")
    sound = steps[..., 0] & (steps[..., :-1] | ~steps[..., 1:]).all(-1)
    if on_accelerator(sound) and not hidden(sound):
        faults.report(~sound, "a mask of a LinearChainCRF", "a mask that is no run of True followed by False")
    values = None if on_accelerator(sound) else seen(sound)
    if values is not None and not values.all():
        place = (~values).nonzero()[0].tolist()
        raise InputError(
            f"mask{place or ''} is no run of True followed by False; expected the steps that count to come first, at "
            "least one: move padding behind them"
        )
    return torch.where(sound, steps.sum(-1), 0)


def _out_of_range(what: str, numbers: Tensor, low: int, high: int) -> Tensor | None:
    """None if all numbers are in the range, else InputError. Where numbers cannot be read: a mask of wrong numbers.

    Numbers on a device are not read here; wrong ones are reported, and the next call raises the error.
    """
    values = None if on_accelerator(numbers) else seen(numbers)
    if values is None:
        wrong = (numbers < low) | (numbers > high)
        if on_accelerator(numbers) and not hidden(numbers):
            items = wrong.any(-1) if what == "tags" else wrong
            faults.report(items, "a method of LinearChainCRF", f"{what} that are not {low} to {high}")
        return wrong
    wrong = (values < low) | (values > high)
    if wrong.any():
        place = wrong.nonzero()[0].tolist()
        raise InputError(f"{what}{place or ''} is {values[tuple(place)].item()}; expected {low} to {high}")
    return None
