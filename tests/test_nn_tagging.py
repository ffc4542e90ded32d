"""Tagging schemes: chunks survive every conversion, and illegal sequences are named."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dagdp import InputError

pytest.importorskip("torch")
from dagdp.nn import convert_tags, legal_transitions

SCHEMES = ["IOB1", "BIO", "BIOES", "IOBES"]
SINGLE = {"IOB1": "I", "BIO": "B", "BIOES": "S", "IOBES": "S"}

#: chunks in their order: (kind, or "" outside of chunks; number of steps)
CHUNKS = st.lists(st.tuples(st.sampled_from(["", "PER", "LOC"]), st.integers(1, 4)), max_size=6)


def written(chunks, scheme):
    """The tags of the chunks, straight from the definition of the scheme."""
    tags: list[str] = []
    before = ""
    for kind, length in chunks:
        if not kind:
            tags += ["O"] * length
        elif scheme == "IOB1":
            tags += [f"{'B' if before == kind else 'I'}-{kind}"] + [f"I-{kind}"] * (length - 1)
        elif scheme == "BIO":
            tags += [f"B-{kind}"] + [f"I-{kind}"] * (length - 1)
        else:
            tags += [f"S-{kind}"] if length == 1 else [f"B-{kind}", *[f"I-{kind}"] * (length - 2), f"E-{kind}"]
        before = kind
    return tags


@pytest.mark.parametrize(("source", "target"), list(itertools.product(SCHEMES, repeat=2)))
@given(chunks=CHUNKS)
def test_conversion_keeps_the_chunks(source, target, chunks):
    assert convert_tags(written(chunks, source), source, target) == written(chunks, target)


def test_chunks_of_no_kind_are_converted():
    assert convert_tags(["O", "I", "I", "B"], "IOB1", "BIOES") == ["O", "B", "E", "S"]
    assert convert_tags(["S", "B", "E"], "BIOES", "BIO") == ["B", "B", "I"]


@given(
    tags=st.lists(st.sampled_from(["O", "B-PER", "I-PER", "E-PER", "S-PER", "I-LOC", "B-LOC"]), min_size=1, max_size=5)
)
def test_what_legal_transitions_forbid_is_refused(tags):
    names = ["O", *(f"{prefix}-{kind}" for kind in ("PER", "LOC") for prefix in "BIES")]
    legal, y = legal_transitions(names, "BIOES"), [names.index(tag) for tag in tags]
    allowed = legal.start[y[0]] and legal.end[y[-1]] and all(legal.transition[b, a] for a, b in itertools.pairwise(y))
    if allowed:
        assert convert_tags(convert_tags(tags, "BIOES", "BIO"), "BIO", "BIOES") == tags
    else:
        with pytest.raises(InputError, match="which the scheme BIOES does not allow"):
            convert_tags(tags, "BIOES", "BIO")


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (
            (["O", "I-PER"], "BIO", "BIOES"),
            r"tags\[1\] is 'I-PER' after 'O', which the scheme BIO does not allow. Where I may begin a chunk, the "
            "scheme is IOB1",
        ),
        ((["E-PER"], "BIOES", "BIO"), r"tags\[0\] is 'E-PER' at the beginning, which the scheme BIOES does not allow$"),
        ((["B-PER"], "BIOES", "BIO"), "the sequence ends after 'B-PER', which the scheme BIOES does not allow"),
        ((["B-PER", "I-LOC"], "BIO", "IOB1"), r"tags\[1\] is 'I-LOC' after 'B-PER'"),
        ((["X-PER"], "BIO", "IOB1"), r"tags\[0\] is 'X-PER'; expected 'O', or one of \['B', 'I'\]"),
        ((["S-PER"], "IOB1", "BIO"), r"tags\[0\] is 'S-PER'; .* in the scheme IOB1"),
        (("OBI", "BIO", "IOB1"), "tags is 'OBI'; expected a list of names"),
        (([0, 1], "BIO", "IOB1"), r"tags is \[0, 1\]; expected a list of names"),
        ((["O"], "IOB", "BIO"), r"source is 'IOB'; expected one of \['BIO', 'BIOES', 'IOBES', 'IOB1'\]"),
        ((["O"], "BIO", "IO"), "target is 'IO'; expected one of"),
    ],
    ids=str,
)
def test_mistakes_in_conversions_are_named(asked, said):
    with pytest.raises(InputError, match=said):
        convert_tags(*asked)
