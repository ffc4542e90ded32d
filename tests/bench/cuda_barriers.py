"""A kernel in which threads meet at barriers and do nothing else. It knows no torch: tests of compilation read it."""

from __future__ import annotations

import inspect
import zlib
from typing import Any

from dagdp.kernels.cuda.compilation.build import Text
from dagdp.kernels.cuda.compilation.cubins import Key
from dagdp.kernels.cuda.records import Arrays, Call, State, Variant
from dagdp.kernels.cuda.texts.names import meet


def barriers(omega: Any, call: Call, arrays: Arrays, state: State) -> None:
    """A kernel text: threads of a team meet `call.ring` times, and do nothing else."""
    k = 0
    while k < call.ring:
        meet()
        k += 1


def barrier_text(key: Key) -> Text:
    """The text, for blocks or for warps."""

    def names(cuda: Any, wrap: Any) -> dict[str, Any]:
        return {"REAL": key.real, "cuda": cuda}

    return Text("barriers", [barriers], names, {}, "warp" if key.variant.warp else "block")


def barrier_variant(warp: bool) -> Variant:
    """A variant that no graph has, with a number of the text: the cache of cubins finds no other kernel by it."""
    marks = {"edge_blocks": -1, "node_blocks": zlib.crc32(inspect.getsource(barriers).encode())}
    return Variant(**{**dict.fromkeys(Variant._fields, False), "warp": warp, **marks})
