"""Schemes that tag chunks of a sequence, such as names in a text: conversion, and legal transitions."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from dagdp.errors import InputError
from dagdp.nn.autograd.tensors import on_device, real_tensor

#: scheme -> (prefixes of tags, prefixes that continue a chunk, prefixes after which the chunk must continue)
SCHEMES = {"BIO": ("BI", "I", ""), "BIOES": ("BIES", "IE", "BI"), "IOBES": ("BIES", "IE", "BI")}


class LegalTransitions(NamedTuple):
    """Legal transitions of a `LinearChainCRF`: boolean tensors, True where legal.

    transition : [S, S] as [to, from].
    start : [S], the tags of a first step.
    end : [S], the tags of a last step.
    """

    transition: Tensor
    start: Tensor
    end: Tensor


def legal_transitions(tags: Sequence[str], scheme: str = "BIO") -> LegalTransitions:
    """Which tags a tagging scheme allows after which, for `LinearChainCRF(allowed=)`: boolean tensors [S, S], [S], [S].

    Parameters
    ----------
    tags : the names of tags 0 to S-1: "O" outside of chunks, else a prefix, "-" and the kind of the chunk, such as
        "B-PER". A prefix alone ("B") is a chunk without a kind.
    scheme : "BIO" (also called IOB2): B begins a chunk, and I continues a chunk of equal kind. "BIOES" or "IOBES": E
        ends a chunk of two or more steps, S is a chunk of a single step, and a chunk that B begins must end with E.

    Raises InputError for an unknown scheme, for names that are no tags of the scheme, and for a name given twice.

    >>> legal = legal_transitions(["O", "B-PER", "I-PER"])
    >>> legal.transition.int().tolist(), legal.start.tolist()  # I-PER, the last row, follows B-PER and I-PER
    ([[1, 1, 1], [1, 1, 1], [0, 1, 1]], [True, True, False])
    >>> legal_transitions(["O", "B", "I", "E", "S"], "BIOES").end.tolist()
    [True, False, False, True, True]
    """
    if scheme not in SCHEMES:
        raise InputError(f"scheme is {scheme!r}; expected one of {list(SCHEMES)}")
    _check_names(tags)
    if not len(tags):
        raise InputError(f"tags is {tags!r}; expected a list of names, at least one")
    _, inside, unfinished = SCHEMES[scheme]
    pairs = [_parts(tags, place, scheme) for place in range(len(tags))]
    for place, name in enumerate(tags):
        if name in tags[:place]:
            raise InputError(f"tags[{place}] is {name!r}, which is tags[{tags.index(name)}]; expected each name once")
    return LegalTransitions(
        torch.tensor([[_may_follow(to, source, scheme) for source in pairs] for to in pairs]),
        torch.tensor([prefix not in tuple(inside) for prefix, _ in pairs]),
        torch.tensor([prefix not in tuple(unfinished) for prefix, _ in pairs]),
    )


def convert_tags(tags: Sequence[str], source: str, target: str) -> list[str]:
    """The tags of one sequence, a list of names, converted to another scheme; chunks do not change.

    Parameters
    ----------
    tags : one name a step, as `legal_transitions` takes them.
    source, target : "BIO" (IOB2), "BIOES" (IOBES), or "IOB1". In IOB1 a chunk begins with I, or with B directly after
        a chunk of equal kind. Every sequence of O, B and I is legal IOB1.

    Raises InputError for an unknown scheme, for a name that is no tag of `source`, and for a tag that `source` does not
    allow after the previous tag.

    >>> convert_tags(["I-PER", "I-PER", "O", "I-LOC", "B-LOC"], "IOB1", "BIOES")
    ['B-PER', 'E-PER', 'O', 'S-LOC', 'S-LOC']
    """
    for label, scheme in (("source", source), ("target", target)):
        if scheme not in (*SCHEMES, "IOB1"):
            raise InputError(f"{label} is {scheme!r}; expected one of {[*SCHEMES, 'IOB1']}")
    _check_names(tags)
    parts = [_parts(tags, place, source) for place in range(len(tags))]
    outside = ("O", "")
    for place, (before, part) in enumerate(itertools.pairwise([outside, *parts, outside])):
        if source != "IOB1" and not _may_follow(part, before, source):
            where = f"tags[{place}] is {tags[place]!r}" if place < len(tags) else "the sequence ends"
            follows = f"after {tags[place - 1]!r}" if place else "at the beginning"
            mend = ". Where I may begin a chunk, the scheme is IOB1" if source == "BIO" else ""
            raise InputError(f"{where} {follows}, which the scheme {source} does not allow{mend}")
    chunked = [prefix != "O" for prefix, _ in parts]
    goes_on = [
        chunked[k] and k > 0 and prefix not in ("B", "S") and chunked[k - 1] and parts[k - 1][1] == kind
        for k, (prefix, kind) in enumerate(parts)
    ]
    converted = []
    for k, (_, kind) in enumerate(parts):
        begins, ends = not goes_on[k], not (k + 1 < len(parts) and goes_on[k + 1])
        if not chunked[k]:
            converted.append("O")
            continue
        if target == "IOB1":
            prefix = "B" if begins and k > 0 and chunked[k - 1] and parts[k - 1][1] == kind else "I"
        elif target == "BIO":
            prefix = "B" if begins else "I"
        else:
            prefix = ("S" if ends else "B") if begins else ("E" if ends else "I")
        converted.append(f"{prefix}-{kind}" if kind else prefix)
    return converted


def _check_names(tags: Sequence[str]) -> None:
    if isinstance(tags, str) or not all(isinstance(name, str) for name in tags):
        raise InputError(f"tags is {tags!r}; expected a list of names, such as ['O', 'B-PER', 'I-PER']")


def _parts(tags: Sequence[str], place: int, scheme: str) -> tuple[str, str]:
    """(prefix, kind) of a tag."""
    name, prefixes = tags[place], "BI" if scheme == "IOB1" else SCHEMES[scheme][0]
    prefix, _, kind = name.partition("-")
    if name != "O" and prefix not in tuple(prefixes):
        raise InputError(
            f"tags[{place}] is {name!r}; expected 'O', or one of {list(prefixes)} and the kind of the chunk "
            f"such as 'B-PER', in the scheme {scheme}"
        )
    return prefix, kind


def _may_follow(to: tuple[str, str], source: tuple[str, str], scheme: str) -> bool:
    """Whether the tag `to` may follow the tag `source`. ("O", "") is also the tag before and after a sequence."""
    _, inside, unfinished = SCHEMES[scheme]
    if to[0] in tuple(inside):
        return source[0] in ("B", "I") and source[1] == to[1]
    return source[0] not in tuple(unfinished)


def checked_legal(allowed: Any, num_tags: int) -> LegalTransitions:
    """(transition [S, S], start [S], end [S]) as boolean tensors. Raises InputError for other values."""
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
    """A boolean tensor on the device. Raises InputError for values that are not boolean."""
    tensor = on_device(real_tensor(given, label), label, device)
    if tensor.dtype is not torch.bool:
        dtype = str(tensor.dtype).removeprefix("torch.")
        raise InputError(f"{label} has dtype {dtype}; expected bool: pass {label}.bool()")
    return tensor
