"""IR linking: LLVM optimises a kernel once, with the text of all functions that it calls.

Numba compiles every function to machine code before it links it into a caller, and optimises the caller again with all
that was inlined. A kernel has a hundred small functions, nested deep, and most of its compile time went there. Here a
function that only kernels call stays LLVM text until a kernel is linked. This file, static_branches.py and
disk_cache.py use the internals of Numba's compiler.
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

from dagdp.jit.static_branches import StaticBranches

_serial = itertools.count()


def _reached(libraries: list[Any]) -> list[Any]:
    """The libraries and all that fragments among them call, each once, after every library that calls it.

    LLVM drops a function that has no caller when it is linked. A caller that is linked later would miss it.
    """
    found: dict[Any, None] = {}
    seen = set()

    def visit(library: Any) -> None:
        if library not in seen:
            seen.add(library)
            for called in library._linking_libraries if isinstance(library, _Fragment) else ():
                visit(called)
            found[library] = None

    for library in libraries:
        visit(library)
    return list(found)[::-1]


def _link(module: Any, libraries: list[Any]) -> None:
    """Link the libraries, and all that they call, into a module."""
    for library in _reached(libraries):
        text = library.alone() if isinstance(library, _Fragment) else library._get_module_for_linking()
        module.link_in(text, preserve=True)


class _Fragment(JITCodeLibrary):
    """A function as LLVM text, neither optimised nor compiled to machine code."""

    def add_llvm_module(self, ll_module: Any) -> None:
        self._final_module.link_in(ll_module)

    def finalize(self) -> None:
        self._reload_init.update(*(library._reload_init for library in self._linking_libraries))
        self._finalized = True

    def alone(self) -> Any:
        """The function's own text. A `_LinkedKernel` finds its callees itself."""
        return super()._get_module_for_linking()

    def _get_module_for_linking(self) -> Any:
        """The text of the function and of its callees, for a library of Numba's own kind."""
        module = self.alone().clone()
        _link(module, self._linking_libraries)
        return module


class _LinkedKernel(JITCodeLibrary):
    """A kernel and its fragments, each linked once, optimised once.

    Numba would optimise twice, the first time to bring pairs of reference counts together that cancel.
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


# Stands for the machine code that a fragment does not have. A call from Python raises a TypeError.
_NO_CODE = ctypes.cast(ctypes.pythonapi.PyErr_BadArgument, ctypes.c_void_p).value


@register_pass(mutates_CFG=True, analysis_only=False)
class _FragmentLowering(BaseNativeLowering):
    _name = "dagdp_fragment_lowering"

    @property
    def lowering_class(self) -> type[Lower]:
        return Lower

    def run_pass(self, state: Any) -> bool:
        state.library = _Fragment(state.targetctx.codegen(), f"{state.func_id.func_qualname}.{next(_serial)}")
        state.flags.no_compile = True
        super().run_pass(state)
        description = state.cr.fndesc
        name = description.qualname.rpartition(".")[2]
        entry = _dynfunc.make_function(
            description.lookup_module(), name, "fragment of a kernel", _NO_CODE, state.cr.env, (state.library,)
        )
        state.targetctx.insert_user_function(entry, description, [state.library])
        state.cr = state.cr._replace(cfunc=entry)
        return True


@register_pass(mutates_CFG=True, analysis_only=False)
class _LinkedKernelLowering(NativeLowering):
    _name = "dagdp_kernel_lowering"

    def run_pass(self, state: Any) -> bool:
        state.library = _LinkedKernel(state.targetctx.codegen(), state.func_id.func_qualname)
        state.library.enable_object_caching()
        return bool(super().run_pass(state))


class _TypingMemo:
    """Numba's typing context with a memo of the result types of operators and builtins.

    A gradient kernel makes 11,000 such requests, of which 800 differ: a tenth of its compile time. Calls of fragments
    are not memoised. Overloads depend on the compiler flags, so the memo is kept for each set of flags.
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


class _ViewsMayBeReturned:
    """Numba's target context during type inference, without its rule that no function may return an array.

    The rule holds where references are not counted, since the array's owner could be gone. Kernels return views of
    memory that their caller owns.
    """

    enable_nrt = True

    def __init__(self, context: Any) -> None:
        self.context = context

    def __getattr__(self, name: str) -> Any:
        return getattr(self.context, name)


@register_pass(mutates_CFG=True, analysis_only=False)
class _Inference(NopythonTypeInference):
    _name = "dagdp_inference"

    def run_pass(self, state: Any) -> bool:
        contexts = state.typingctx, state.targetctx
        state.typingctx, state.targetctx = _TypingMemo(state.typingctx), _ViewsMayBeReturned(state.targetctx)
        try:
            return super().run_pass(state)
        finally:
            state.typingctx, state.targetctx = contexts


def _lowered_by(state: Any, lowering: type) -> list[Any]:
    """Numba's passes with `StaticBranches` and another lowering.

    Three passes are left out: they look for expressions of whole arrays and for nested functions, which kernels do not
    have.
    """
    manager = DefaultPassBuilder.define_nopython_pipeline(state)
    other = {NativeLowering: lowering, NopythonTypeInference: _Inference}
    idle = NopythonRewrites, InlineClosureLikes, DeadBranchPrune
    kept = [(other.get(p, p), why) for p, why in manager.passes if p not in idle]
    begin = [p for p, _ in kept].index(IRProcessing)
    manager.passes = [*kept[:begin], (StaticBranches, "static branch elimination"), *kept[begin:]]
    manager._finalized = False
    manager.finalize()
    return [manager]


class PartCompiler(CompilerBase):
    """The compiler of functions that only kernels call."""

    def define_pipelines(self) -> list[Any]:
        return _lowered_by(self.state, _FragmentLowering)


class WholeCompiler(CompilerBase):
    """The compiler of entry points."""

    def define_pipelines(self) -> list[Any]:
        return _lowered_by(self.state, _LinkedKernelLowering)

    def compile_extra(self, function: Any) -> Any:
        """Compile with the garbage collector off, which would take a sixth of the time."""
        enabled = gc.isenabled()
        gc.disable()
        try:
            return super().compile_extra(function)
        finally:
            if enabled:
                gc.enable()


def _without_clocks(dispatcher: Any) -> Callable[..., Any]:
    """Numba's `compile` without its timers.

    Numba starts two timers for each function, and each pass of a callee notifies the timers of all callers, up to
    thirty deep. That took a twentieth of the compile time of a gradient kernel.
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
    """A decorator like `decorate` whose functions are compiled once for all literals: f(0), f(1) and f(n) share code.

    LLVM sees the literals where it inlines. Of the 151 functions of a gradient kernel 19 were such duplicates.
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
