"""Differentiable dynamic programming on any DAG: value, expected path and Hessian product."""

import importlib as _importlib
import os as _os
from typing import TYPE_CHECKING as _TYPE_CHECKING
from typing import Any as _Any

_link = _os.path.join(__path__[0], "graphs")
if _os.path.isfile(_link):
    raise ImportError(
        f"{_link} is a text file; expected a symbolic link to ../graphs. This checkout was made without symbolic links "
        "(git's default on Windows). Run `git config core.symlinks true`, delete the file and run "
        "`git checkout -- dagdp/graphs`, on Windows in developer mode; or install a wheel"
    )

from dagdp.compiled.dag import CompiledDAG as CompiledDAG
from dagdp.describe.graph import Graph as Graph
from dagdp.errors import DagError as DagError
from dagdp.errors import DerivativeError as DerivativeError
from dagdp.errors import GraphError as GraphError
from dagdp.errors import InputError as InputError
from dagdp.errors import OmegaError as OmegaError
from dagdp.omega import HardMax as HardMax
from dagdp.omega import Negentropy as Negentropy
from dagdp.omega import Omega as Omega
from dagdp.omega import SquaredL2 as SquaredL2
from dagdp.omega import Tsallis as Tsallis
from dagdp.omega import register_along_axis as _register_along_axis

if _TYPE_CHECKING:
    from dagdp import bulk as bulk
    from dagdp import cuda as cuda
    from dagdp import graphs as graphs
    from dagdp import nn as nn
    from dagdp import plot as plot
    from dagdp import reference as reference
    from dagdp import series as series
    from dagdp import testing as testing
    from dagdp.compiler import compile as compile
    from dagdp.compiler.batch import CompiledBatch as CompiledBatch
    from dagdp.compiler.batch import compile_batch as compile_batch
    from dagdp.doctor import show_versions as show_versions
    from dagdp.functions import dp_grad as dp_grad
    from dagdp.functions import dp_hvp as dp_hvp
    from dagdp.functions import dp_jvp as dp_jvp
    from dagdp.functions import dp_jvp_and_hvp as dp_jvp_and_hvp
    from dagdp.functions import dp_value as dp_value
    from dagdp.functions import dp_value_and_grad as dp_value_and_grad
    from dagdp.functions import local_weights as local_weights
    from dagdp.language.recurrence import recurrence as recurrence
    from dagdp.networkx_graphs import from_networkx as from_networkx
    from dagdp.networkx_graphs import to_networkx as to_networkx
    from dagdp.paths import Derivations as Derivations
    from dagdp.paths import Paths as Paths
    from dagdp.paths import Support as Support
    from dagdp.paths import best_path as best_path
    from dagdp.paths import count_paths as count_paths
    from dagdp.paths import cross_entropy as cross_entropy
    from dagdp.paths import entropy as entropy
    from dagdp.paths import expectation as expectation
    from dagdp.paths import gap_bound as gap_bound
    from dagdp.paths import k_best as k_best
    from dagdp.paths import kl_divergence as kl_divergence
    from dagdp.paths import max_marginals as max_marginals
    from dagdp.paths import node_marginals as node_marginals
    from dagdp.paths import node_values as node_values
    from dagdp.paths import path_log_prob as path_log_prob
    from dagdp.paths import sample_paths as sample_paths
    from dagdp.paths import slack as slack
    from dagdp.paths import support as support
    from dagdp.paths import support_size as support_size
    from dagdp.warming import warm_up as warm_up

__version__ = "0.2.0"

# `compile` is left out on purpose: `from dagdp import *` would hide Python's builtin. The public modules are left out
# too: the import would need torch.
__all__ = [
    "CompiledBatch",
    "CompiledDAG",
    "DagError",
    "Derivations",
    "DerivativeError",
    "Graph",
    "GraphError",
    "HardMax",
    "InputError",
    "Negentropy",
    "Omega",
    "OmegaError",
    "Paths",
    "SquaredL2",
    "Support",
    "Tsallis",
    "best_path",
    "compile_batch",
    "count_paths",
    "cross_entropy",
    "dp_grad",
    "dp_hvp",
    "dp_jvp",
    "dp_jvp_and_hvp",
    "dp_value",
    "dp_value_and_grad",
    "entropy",
    "expectation",
    "from_networkx",
    "gap_bound",
    "k_best",
    "kl_divergence",
    "local_weights",
    "max_marginals",
    "node_marginals",
    "node_values",
    "path_log_prob",
    "recurrence",
    "sample_paths",
    "show_versions",
    "slack",
    "support",
    "support_size",
    "to_networkx",
    "warm_up",
]

# What needs Numba is imported when it is first asked for: two thirds of the time of an import (docs/decisions.md).
_HOMES = {
    "dagdp": ("bulk", "cuda", "graphs", "nn", "plot", "reference", "series", "testing"),
    "dagdp.compiler.batch": ("CompiledBatch", "compile_batch"),
    "dagdp.compiler": ("compile",),
    "dagdp.doctor": ("show_versions",),
    "dagdp.language.recurrence": ("recurrence",),
    "dagdp.networkx_graphs": ("from_networkx", "to_networkx"),
    "dagdp.paths": (
        "Derivations", "Paths", "Support", "best_path", "count_paths", "cross_entropy", "entropy", "expectation",
        "gap_bound", "k_best", "kl_divergence", "max_marginals", "node_marginals", "node_values", "path_log_prob",
        "sample_paths", "slack", "support", "support_size",
    ),
    "dagdp.functions": (
        "dp_grad", "dp_hvp", "dp_jvp", "dp_jvp_and_hvp", "dp_value", "dp_value_and_grad", "local_weights",
    ),
    "dagdp.warming": ("warm_up",),
}  # fmt: skip
_home_of = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> _Any:
    home = _home_of.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if home == __name__:
        return _importlib.import_module(f"{__name__}.{name}")
    value = getattr(_importlib.import_module(home), name)
    globals()[name] = value
    return value


def _axis() -> _Any:
    import dagdp.axis as axis

    return axis


_register_along_axis(_axis)


def _is_installed(package: str) -> bool:
    from importlib.util import find_spec

    return find_spec(package) is not None


def __dir__() -> list[str]:
    dunders = {name for name in globals() if name.startswith("__")}
    names = dunders.union(__all__, _home_of)
    # help() and inspect read every name of dir(); dagdp.nn cannot be read without torch, nor dagdp.bulk without Dask
    needs = {"nn": "torch", "bulk": "dask"}
    return sorted(names - {name for name, package in needs.items() if not _is_installed(package)})
