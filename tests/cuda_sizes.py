"""Registers and instructions of device kernels, for tests/test_cuda_build.py. Run as a script, writes cuda_sizes.json.

No device is needed, nor a disassembler: cuobjdump knows registers and stack, and an instruction has 16 bytes of the
section that holds the kernel.
"""

from __future__ import annotations

import json
import re
import struct
import subprocess
import tempfile
from pathlib import Path
from typing import NamedTuple

import numpy as np
from cuda_small_kernel import PLAIN

from dagdp import HardMax, Negentropy, Omega, SquaredL2, Tsallis
from dagdp.kernels.cuda.compilation.build import build, sweep_of
from dagdp.kernels.cuda.compilation.cubins import Cubin, Key
from dagdp.kernels.cuda.records import Variant
from dagdp.kernels.cuda.schedule import WARP_SIZE

RECORDED = Path(__file__).with_name("cuda_sizes.json")
INSTRUCTION = 16  # bytes, on every device since compute capability 7.0

_VALUE = PLAIN._replace(backward=False)
_GRADIENT = _VALUE._replace(backward=True)
_MOVES = 0x819192  # of dtw_grid: (2 levels, 1 row), (1 level, 1 row), (1 level, no row)
_DIAGONALS = _GRADIENT._replace(edge_blocks=0, node_blocks=1, wide=3, moves=_MOVES, staged=True)


def _chain(tied: int, parts: int = 1) -> Variant:
    """The gradient of a chain as `graphs.linear_chain` makes one."""
    warp = parts == 1 and tied <= WARP_SIZE
    return _GRADIENT._replace(edge_blocks=2, node_blocks=2, readers=True, warp=warp, tied=tied, parts=parts)


VARIANTS = {
    "value": _VALUE,
    "gradient": _GRADIENT,
    "slope": _VALUE._replace(tangent=True),
    "hessian": _GRADIENT._replace(tangent=True),
    "weights": _VALUE._replace(weights=True),
    "warp": _GRADIENT._replace(warp=True),
    "in global memory": _GRADIENT._replace(shared_ring=False),
    "all kinds of potentials": _GRADIENT._replace(edge_blocks=2, node_blocks=2, readers=True, starts=True),
    "hyperedges": _GRADIENT._replace(pairs=True),
    "path": _VALUE._replace(decode=True),
    "chain of 32 states": _chain(32),
    "chain of 64 states": _chain(64),
    "chain of 128 states": _chain(128, 2),
    "chain of 64 states, 4 threads each": _chain(64, 4),
    "four scores in registers": _GRADIENT._replace(wide=4),
    "diagonals": _DIAGONALS._replace(staged=False),
    "diagonals in bands": _DIAGONALS,
}
OPERATORS: tuple[Omega, ...] = (HardMax(), Negentropy(1.0), SquaredL2(1.0), Tsallis(1.5), Tsallis(1.3))


class Kernel(NamedTuple):
    """A kernel that is measured."""

    omega: Omega
    real: type
    variant: str
    capability: tuple[int, int]

    @property
    def name(self) -> str:
        operator = f"{type(self.omega).__name__} {getattr(self.omega, 'alpha', '')}".strip()
        return f"{operator}, {self.real.__name__}, {self.variant}, sm_{self.capability[0]}{self.capability[1]}"

    def key(self) -> Key:
        """Its key."""
        return Key(type(self.omega.data(self.real)), self.real, VARIANTS[self.variant], self.capability)


def kernels() -> list[Kernel]:
    """Every operator with its gradient in both types, and every variant once; most for the newer device."""
    both = [(omega, real) for omega in OPERATORS for real in (np.float32, np.float64)]
    found = [Kernel(omega, real, "gradient", (9, 0)) for omega, real in both]
    found += [
        Kernel(HardMax() if variant == "path" else Negentropy(1.0), np.float32, variant, (9, 0))
        for variant in VARIANTS
        if variant not in ("gradient", "chain of 64 states, 4 threads each")
    ]
    found += [
        Kernel(omega, np.float32, "diagonals in bands", (9, 0)) for omega in OPERATORS if omega != Negentropy(1.0)
    ]
    found += [Kernel(Tsallis(1.3), np.float64, "diagonals in bands", (9, 0))]
    found += [Kernel(Tsallis(1.3), real, "hessian", (9, 0)) for real in (np.float32, np.float64)]
    found += [Kernel(Negentropy(1.0), np.float32, variant, (8, 0)) for variant in ("gradient", "warp", "diagonals")]
    found.append(Kernel(Negentropy(1.0), np.float64, "chain of 64 states, 4 threads each", (9, 0)))
    return [*found, Kernel(Tsallis(1.3), np.float64, "hessian", (8, 0))]


class Size(NamedTuple):
    """What a kernel takes."""

    registers: int  # of a thread
    stack: int  # bytes of a thread: spilled registers, or arrays
    local: int  # bytes
    shared: int  # bytes besides what a launch asks for
    instructions: int


def size(cubin: Cubin) -> Size:
    """The size of a kernel, without that of functions for rare cases that it calls."""
    from cuda.pathfinder import find_nvidia_binary_utility

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "kernel.cubin"
        file.write_bytes(cubin.code)
        command = [find_nvidia_binary_utility("cuobjdump"), "-res-usage", str(file)]
        said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    used = dict(re.findall(r"(\w+):(\d+)", said[said.index(f"Function {cubin.name}:") + len(cubin.name) :]))
    registers, stack, local, shared = (int(used[name]) for name in ("REG", "STACK", "LOCAL", "SHARED"))
    return Size(registers, stack, local, shared, section_bytes(cubin) // INSTRUCTION)


def section_bytes(cubin: Cubin) -> int:
    """The size of the section of the ELF file in which the kernel's instructions lie."""
    code = cubin.code
    (table,) = struct.unpack_from("<Q", code, 0x28)
    each, count, names = struct.unpack_from("<HHH", code, 0x3A)
    sections = [struct.unpack_from("<IIQQQQ", code, table + k * each) for k in range(count)]
    strings = sections[names][4]
    wanted = f".text.{cubin.name}".encode() + b"\0"
    (found,) = [section[5] for section in sections if code.startswith(wanted, strings + section[0])]
    return found


def main() -> None:
    """Measure all kernels, and write what was found."""
    found = {}
    for kernel in kernels():
        taken = size(build(sweep_of(kernel.key()), kernel.key()))
        found[kernel.name] = {"registers": taken.registers, "instructions": taken.instructions}
    RECORDED.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
