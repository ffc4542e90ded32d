"""Bits are those of the record: golden.py makes the calls, golden.json holds digests of what they gave."""

from __future__ import annotations

import functools
import json

import golden
import numpy as np
import pytest
from cases import combinations

from dagdp.jit.bounds import CHECKED

CALLS = golden.calls()


@functools.cache
def recorded() -> dict[str, str]:
    """This machine's digests."""
    name = golden.machine()
    known = golden.records()
    if name not in known:
        pytest.skip(f"no golden bits for {name!r}; to record them, on a commit whose bits are right: {golden.COMMAND}")
    return known[name]["bits"]


def complaint(call: str, threads: int, want: str, got: str) -> str:
    """What to do about other bits."""
    return (
        f"{call}: with threads={threads} the result has other bits ({got}; recorded {want}). "
        f"If they may change, record them anew, with the reason: {golden.COMMAND}"
    )


def in_shared_kernels(call):
    """Under `Tsallis` most need kernels that no other test of `make test` launches. SquaredL2 has that solver."""
    return "Tsallis" not in call


@pytest.mark.skipif(CHECKED, reason="a bounds check between a product and a sum keeps LLVM from fusing them")
@pytest.mark.specialised  # bits of the kernels that specialisation chose
@combinations(in_shared_kernels, call=CALLS)
def test_bits_are_those_of_the_record(call):
    """With one thread and with two."""
    want = recorded().get(call, "nothing")
    for threads in (1, 2):
        got = golden.digest(CALLS[call](threads))
        assert got == want, complaint(call, threads, want, got)


def test_the_record_has_these_calls_and_no_others():
    gone = sorted(set(recorded()) - set(CALLS))
    assert not gone, f"recorded, and no longer made: {gone}; record anew, with the reason: {golden.COMMAND}"


def test_a_digest_tells_bits_types_and_shapes_apart():
    a = np.array([0.0, 1.0])
    others = [np.array([-0.0, 1.0]), np.nextafter(a, 2), a.astype("f4"), a[None], (a, a), {"a": a, "b": a + 1}]
    digests = {golden.digest(result) for result in [a, *others]}
    assert len(digests) == 7 and golden.digest([a.copy()]) == golden.digest(a)


def test_a_record_keeps_its_reasons_and_other_machines_records(tmp_path, monkeypatch):
    file = tmp_path / "golden.json"
    file.write_text(json.dumps({"elsewhere": {"log": [], "bits": {"call": "0"}}}))
    monkeypatch.setattr(golden, "FILE", file)
    for value, reason in ((1.0, "first"), (1.0, "second"), (2.0, "third")):
        monkeypatch.setattr(golden, "calls", lambda value=value: {"call": lambda threads: np.array(value)})
        golden.record(reason)
    known = golden.records()
    log = known[golden.machine()]["log"]
    assert [(entry["reason"], entry["changed"]) for entry in log] == [("first", 1), ("second", 0), ("third", 1)]
    assert known[golden.machine()]["bits"] == {"call": golden.digest(np.array(2.0))}
    assert known["elsewhere"] == {"log": [], "bits": {"call": "0"}}


def test_the_machines_name_tells_what_rounds():
    """Architecture and features first, then versions."""
    features, *versions = golden.machine().split(", ")
    assert features.split()[1:] == sorted(features.split()[1:]) and set(features.split()[1:]) <= set(golden.DECISIVE)
    assert [version.split()[0] for version in versions] == ["numba", "llvmlite"]
