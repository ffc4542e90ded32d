"""Which tag may follow which, in the schemes that mark chunks of a sequence, such as names in a text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from dagdp.errors import InputError
from dagdp.nn.tensors import on_device, real_tensor

#: scheme -> (prefixes of names, those that go on with a chunk, those after which a chunk must go on)
SCHEMES = {"BIO": ("BI", "I", ""), "BIOES": ("BIES", "IE", "BI"), "IOBES": ("BIES", "IE", "BI")}


class LegalTransitions(NamedTuple):
    """What a `LinearChainCRF` may do, True where it may: boolean tensors.

    transition : [S, S] as [to, from].
    start : [S], the tags of a first step.
    end : [S], the tags of a last step.
    """

    transition: Tensor
    start: Tensor
    end: Tensor


def legal_transitions(tags: Sequence[str], scheme: str = "BIO") -> LegalTransitions:
    """What a tagging scheme allows between tags of these names, for `LinearChainCRF(allowed=)`.

    Parameters
    ----------
    tags : the names of tags 0 to S-1: "O" outside of chunks, else a prefix, "-" and the kind of the chunk, such as
        "B-PER". A prefix alone ("B") is a chunk of no kind.
    scheme : "BIO" (also called IOB2): B begins a chunk and I goes on with one of its kind. "BIOES" or "IOBES": E ends a
        chunk of two or more steps, S is one of a single step, and what B or I has begun must end.

    Raises InputError for another scheme, for names that are no tags of it, and where a name stands twice.

    >>> legal = legal_transitions(["O", "B-PER", "I-PER"])
    >>> legal.transition.int().tolist(), legal.start.tolist()  # I-PER, the last row, follows B-PER and I-PER
    ([[1, 1, 1], [1, 1, 1], [0, 1, 1]], [True, True, False])
    >>> legal_transitions(["O", "B", "I", "E", "S"], "BIOES").end.tolist()
    [True, False, False, True, True]
    """
    if scheme not in SCHEMES:
        raise InputError(f"scheme is {scheme!r}; expected one of {list(SCHEMES)}")
    prefixes, inside, unfinished = SCHEMES[scheme]
    if isinstance(tags, str) or not all(isinstance(name, str) for name in tags) or len(tags) < 1:
        raise InputError(f"tags is {tags!r}; expected a list of names, such as ['O', 'B-PER', 'I-PER']")
    pairs = []
    for place, name in enumerate(tags):
        prefix, _, kind = name.partition("-")
        if name != "O" and prefix not in tuple(prefixes):
            raise InputError(
                f"tags[{place}] is {name!r}; expected 'O', or one of {list(prefixes)} and the kind of the chunk "
                f"such as 'B-PER', in the scheme {scheme}"
            )
        if name in tags[:place]:
            raise InputError(f"tags[{place}] is {name!r}, which is tags[{tags.index(name)}]; expected each name once")
        pairs.append((prefix, kind))

    def may_follow(to: tuple[str, str], source: tuple[str, str]) -> bool:
        if to[0] in tuple(inside):
            return source[0] in ("B", "I") and source[1] == to[1]
        return source[0] not in tuple(unfinished)

    return LegalTransitions(
        torch.tensor([[may_follow(to, source) for source in pairs] for to in pairs]),
        torch.tensor([prefix not in tuple(inside) for prefix, _ in pairs]),
        torch.tensor([prefix not in tuple(unfinished) for prefix, _ in pairs]),
    )


def checked_legal(allowed: Any, num_tags: int) -> LegalTransitions:
    """(transition, start, end) as boolean tensors of their shapes, InputError where they are none."""
    if not isinstance(allowed, list | tuple) or len(allowed) != 3:
        raise InputError(
            f"allowed is {type(allowed).__name__}; expected (transition [to, from], start, end), such as "
            "legal_transitions(tags) returns"
        )
    made = LegalTransitions(*(flags(part, f"allowed[{place}]", "cpu") for place, part in enumerate(allowed)))
    shapes = (num_tags, num_tags), (num_tags,), (num_tags,)
    for name, part, shape in zip(LegalTransitions._fields, made, shapes, strict=True):
        if tuple(part.shape) != shape:
            raise InputError(f"allowed has {name} of shape {tuple(part.shape)}; expected {shape} of {num_tags} tags")
        if name != "transition" and not part.any():
            raise InputError(f"allowed has no {name} that is True; expected some sequence of tags to be legal")
    return made


def flags(given: Any, label: str, device: torch.device | str) -> Tensor:
    """What was given as a boolean tensor on that device."""
    tensor = on_device(real_tensor(given, label), label, device)
    if tensor.dtype is not torch.bool:
        dtype = str(tensor.dtype).removeprefix("torch.")
        raise InputError(f"{label} has dtype {dtype}; expected bool: pass {label}.bool()")
    return tensor
