"""Differentiable dynamic programming on any DAG: value, expected path and Hessian product."""

import os as _os

# In a source checkout graphs/ lies beside dagdp/; an installed package has it inside.
_here = _os.path.dirname(_os.path.abspath(__file__))
if not _os.path.isdir(_os.path.join(_here, "graphs")):
    __path__.append(_os.path.dirname(_here))

from dagdp.compiled import CompiledDAG as CompiledDAG
from dagdp.compiler import compile as compile
from dagdp.errors import DagError as DagError
from dagdp.errors import DerivativeError as DerivativeError
from dagdp.errors import GraphError as GraphError
from dagdp.errors import InputError as InputError
from dagdp.errors import OmegaError as OmegaError
from dagdp.graph import Graph as Graph
from dagdp.graph import from_networkx as from_networkx
from dagdp.omega import HardMax as HardMax
from dagdp.omega import Negentropy as Negentropy
from dagdp.omega import Omega as Omega
from dagdp.omega import SquaredL2 as SquaredL2
from dagdp.omega import Tsallis as Tsallis
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
from dagdp.paths import node_marginals as node_marginals
from dagdp.paths import path_log_prob as path_log_prob
from dagdp.paths import sample_paths as sample_paths
from dagdp.paths import support as support
from dagdp.paths import support_size as support_size
from dagdp.run import dp_grad as dp_grad
from dagdp.run import dp_hvp as dp_hvp
from dagdp.run import dp_jvp as dp_jvp
from dagdp.run import dp_jvp_and_hvp as dp_jvp_and_hvp
from dagdp.run import dp_value as dp_value
from dagdp.run import dp_value_and_grad as dp_value_and_grad
from dagdp.run import local_weights as local_weights

__version__ = "0.1.0"
