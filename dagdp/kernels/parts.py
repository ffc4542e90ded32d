"""Functions that only kernels call are handed over as text: LLVM sees a kernel whole, once.

Numba finishes every function, down to machine code, before it links it into a caller, which is then optimised with
all it has inlined again. A kernel has a hundred small functions, nested deep: most of the time it took to compile
went there. This is the one file that reaches into Numba's compiler.
"""

from __future__ import annotations

import ctypes
import itertools
from typing import Any

from numba import _dynfunc
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import CompilerBase, DefaultPassBuilder
from numba.core.compiler_machinery import register_pass
from numba.core.lowering import Lower
from numba.core.typed_passes import BaseNativeLowering, NativeLowering

_serial = itertools.count()


class _Part(JITCodeLibrary):
    """LLVM's text of a function and of what it calls, neither optimised nor made into machine code."""

    def add_llvm_module(self, ll_module: Any) -> None:
        self._final_module.link_in(ll_module)

    def finalize(self) -> None:
        for library in dict.fromkeys(self._linking_libraries):
            self._reload_init.update(library._reload_init)
            self._final_module.link_in(library._get_module_for_linking(), preserve=True)
        self._finalized = True


# What stands for the machine code that a part does not have: called from Python it raises a TypeError.
_NOTHING = ctypes.cast(ctypes.pythonapi.PyErr_BadArgument, ctypes.c_void_p).value


@register_pass(mutates_CFG=True, analysis_only=False)
class _PartLowering(BaseNativeLowering):
    _name = "dagdp_part_lowering"

    @property
    def lowering_class(self) -> type[Lower]:
        return Lower

    def run_pass(self, state: Any) -> bool:
        state.library = _Part(state.targetctx.codegen(), f"{state.func_id.func_qualname}.{next(_serial)}")
        state.flags.no_compile = True
        super().run_pass(state)
        description = state.cr.fndesc
        name = description.qualname.rpartition(".")[2]
        entry = _dynfunc.make_function(
            description.lookup_module(), name, "part of a kernel", _NOTHING, state.cr.env, (state.library,)
        )
        state.targetctx.insert_user_function(entry, description, [state.library])
        state.cr = state.cr._replace(cfunc=entry)
        return True


class PartCompiler(CompilerBase):
    """Numba's own passes but the last."""

    def define_pipelines(self) -> list[Any]:
        manager = DefaultPassBuilder.define_nopython_pipeline(self.state)
        manager.passes = [(_PartLowering if p is NativeLowering else p, why) for p, why in manager.passes]
        manager._finalized = False
        manager.finalize()
        return [manager]
