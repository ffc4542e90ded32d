"""Functions that only kernels call are handed over as text: LLVM sees a kernel whole, once.

Numba finishes every function, down to machine code, before it links it into a caller, which is then optimised with
all it has inlined again. A kernel has a hundred small functions, nested deep: most of the time it took to compile
went there. This is the one file that reaches into Numba's compiler.
"""

from __future__ import annotations

import ctypes
import gc
import itertools
from collections.abc import Callable
from typing import Any, ClassVar

from numba import _dynfunc
from numba.core import types
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import CompilerBase, DefaultPassBuilder
from numba.core.compiler_lock import global_compiler_lock
from numba.core.compiler_machinery import register_pass
from numba.core.lowering import Lower
from numba.core.sigutils import normalize_signature
from numba.core.targetconfig import ConfigStack
from numba.core.typed_passes import BaseNativeLowering, NativeLowering, NopythonRewrites, NopythonTypeInference
from numba.core.types.misc import unliteral
from numba.core.untyped_passes import DeadBranchPrune, InlineClosureLikes, IRProcessing

from dagdp.jit.static_branches import Decided

_serial = itertools.count()


def _reached(libraries: list[Any]) -> list[Any]:
    """The libraries and those that parts among them call, each once, and behind all that call it.

    LLVM drops what nobody has asked for by the time that it is linked: what is only called later would be missing.
    """
    found: dict[Any, None] = {}
    seen = set()

    def visit(library: Any) -> None:
        if library not in seen:
            seen.add(library)
            for called in library._linking_libraries if isinstance(library, _Part) else ():
                visit(called)
            found[library] = None

    for library in libraries:
        visit(library)
    return list(found)[::-1]


def _link(module: Any, libraries: list[Any]) -> None:
    """Link all that is reached into a module."""
    for library in _reached(libraries):
        text = library.alone() if isinstance(library, _Part) else library._get_module_for_linking()
        module.link_in(text, preserve=True)


class _Part(JITCodeLibrary):
    """LLVM's text of a function, neither optimised nor made into machine code."""

    def add_llvm_module(self, ll_module: Any) -> None:
        self._final_module.link_in(ll_module)

    def finalize(self) -> None:
        self._reload_init.update(*(library._reload_init for library in self._linking_libraries))
        self._finalized = True

    def alone(self) -> Any:
        """Its own text, for a `_Whole`, which looks for the rest itself."""
        return super()._get_module_for_linking()

    def _get_module_for_linking(self) -> Any:
        """With the text of all that it calls, for a library of Numba's own kind."""
        module = self.alone().clone()
        _link(module, self._linking_libraries)
        return module


class _Whole(JITCodeLibrary):
    """A kernel with its parts, each linked in once, optimised once.

    Numba optimises twice, the first time to bring references next to each other that cancel out.
    """

    def finalize(self) -> None:
        self._reload_init.update(*(library._reload_init for library in self._linking_libraries))
        _link(self._final_module, self._linking_libraries)
        self._linking_libraries: list[Any] = []
        super().finalize()

    def _optimize_final_module(self) -> None:
        manager, builder = self._codegen._module_pass_manager()
        with self._recorded_timings.record("Module passes", builder):
            manager.run(self._final_module, builder)


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


@register_pass(mutates_CFG=True, analysis_only=False)
class _WholeLowering(NativeLowering):
    _name = "dagdp_whole_lowering"

    def run_pass(self, state: Any) -> bool:
        state.library = _Whole(state.targetctx.codegen(), state.func_id.func_qualname)
        state.library.enable_object_caching()
        return bool(super().run_pass(state))


class _Remembering:
    """Numba's typing context, which asks once what an operator or builtin makes of given types.

    11,000 questions of a gradient kernel are 800: a tenth of its time. Functions that parts call are asked about anew.
    What overloads are depends on the flags that they are asked under, and so does what is remembered.
    """

    under: ClassVar[dict[Any, dict[Any, Any]]] = {}

    def __init__(self, context: Any) -> None:
        self.context = context
        self.known = self.under.setdefault(ConfigStack.top_or_none(), {})

    def __getattr__(self, name: str) -> Any:
        return getattr(self.context, name)

    def resolve_function_type(self, function: Any, given: Any, named: Any) -> Any:
        if type(function) is not types.Function or named:
            return self.context.resolve_function_type(function, given, named)
        key = function, given
        found = self.known.get(key)
        if found is None:
            found = self.context.resolve_function_type(function, given, named)
            if found is not None:
                self.known[key] = found
        return found


@register_pass(mutates_CFG=True, analysis_only=False)
class _Inference(NopythonTypeInference):
    _name = "dagdp_inference"

    def run_pass(self, state: Any) -> bool:
        context, state.typingctx = state.typingctx, _Remembering(state.typingctx)
        try:
            return super().run_pass(state)
        finally:
            state.typingctx = context


def _lowered_by(state: Any, lowering: type) -> list[Any]:
    """Numba's own passes but for the last, with `Decided`, and without those that look for expressions of whole arrays
    and functions within functions: there are none."""
    manager = DefaultPassBuilder.define_nopython_pipeline(state)
    other = {NativeLowering: lowering, NopythonTypeInference: _Inference}
    idle = NopythonRewrites, InlineClosureLikes, DeadBranchPrune
    kept = [(other.get(p, p), why) for p, why in manager.passes if p not in idle]
    begin = [p for p, _ in kept].index(IRProcessing)
    manager.passes = [*kept[:begin], (Decided, "branches that types decide"), *kept[begin:]]
    manager._finalized = False
    manager.finalize()
    return [manager]


class PartCompiler(CompilerBase):
    """For functions that only kernels call."""

    def define_pipelines(self) -> list[Any]:
        return _lowered_by(self.state, _PartLowering)


class WholeCompiler(CompilerBase):
    """For entry points."""

    def define_pipelines(self) -> list[Any]:
        return _lowered_by(self.state, _WholeLowering)

    def compile_extra(self, function: Any) -> Any:
        """Compiled without a look for garbage in between, which takes a sixth of the time."""
        enabled = gc.isenabled()
        gc.disable()
        try:
            return super().compile_extra(function)
        finally:
            if enabled:
                gc.enable()


def _without_clocks(dispatcher: Any) -> Callable[..., Any]:
    """Numba's `compile`, which sets two clocks for each function: those of all callers, thirty deep, then hear of every
    lock and pass of the callees. A twentieth of the time of a gradient kernel.
    """

    def compiled(signature: Any) -> Any:
        arguments, result = normalize_signature(signature)
        with global_compiler_lock, dispatcher._compiling_counter:
            known = dispatcher.overloads.get(tuple(arguments))
            if known is None:
                known = dispatcher._compiler.compile(arguments, result)
                dispatcher.add_overload(known)
        return known.entry_point

    return compiled


def compiled_once(decorate: Callable[..., Any]) -> Callable[..., Any]:
    """The decorator, for functions that are compiled once for all literals: f(0), f(1) and f(n) are one.

    LLVM sees the numbers anyway where it inlines. Of the 151 functions of a gradient kernel 19 were such doubles.
    """

    def decorated(function: Callable[..., Any]) -> Any:
        made = decorate(function)
        made.compile = _without_clocks(made)
        template = made.get_call_template

        def of_plain_types(given: Any, named: Any) -> Any:
            return template(tuple(map(unliteral, given)), {name: unliteral(kind) for name, kind in named.items()})

        made.get_call_template = of_plain_types
        return made

    return decorated
