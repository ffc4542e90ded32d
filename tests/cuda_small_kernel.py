"""A small kernel text that reads and writes every record, for tests of what builds, keeps and launches kernels."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from dagdp import Negentropy
from dagdp.kernels.cuda.compilation.build import Text
from dagdp.kernels.cuda.compilation.cubins import Key
from dagdp.kernels.cuda.records import Arrays, Call, State, Variant
from dagdp.kernels.cuda.texts.names import REAL_TYPE, TANGENT, cuda, meet

PLAIN = Variant(
    tangent=False,
    backward=True,
    weights=False,
    decode=False,
    edge_blocks=1,
    node_blocks=0,
    pairs=False,
    readers=False,
    shared_ring=True,
    warp=False,
    starts=False,
)


def cooled(omega: Any, x: Any) -> Any:
    """A device function, which is inlined."""
    return 0.5 * math.exp(x / omega.gamma)


def small(omega: Any, call: Call, arrays: Arrays, state: State) -> None:
    """Each thread hands its number to its neighbour."""
    shared = cuda.shared.array(0, REAL_TYPE)
    rank = cuda.threadIdx.x
    shared[rank] = call.sign * cooled(omega, arrays.theta[rank + cuda.blockIdx.x * call.theta_stride])
    meet()
    place = cuda.blockIdx.x * cuda.blockDim.x + rank
    if place < call.batch:
        state.v_hi[place] = shared[rank ^ 1]
        arrays.values[arrays.table[place]] = 2.0 * state.v_hi[place]
        arrays.path[place] = arrays.plan[call.ring]
        if TANGENT:
            arrays.slopes[place] = arrays.z[place]


def small_text(key: Key) -> Text:
    """The text for any key."""

    def names(device: Any, wrap: Any) -> dict[str, Any]:
        return {"REAL": key.real, "REAL_TYPE": key.real, "cuda": device, "math": math}

    barrier = "warp" if key.variant.warp else "block"
    return Text("small", [cooled, small], names, {"TANGENT": key.variant.tangent}, barrier)


def small_key(omega: Any = None, real: type = np.float32, capability: Any = (9, 0), **changes: Any) -> Key:
    """A key, by default of Negentropy in float32 on a device of compute capability 9.0."""
    data = type((omega or Negentropy(1.0)).data(real))
    return Key(data, real, PLAIN._replace(**changes), capability)
