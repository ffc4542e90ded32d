"""The path distribution: best and k best paths, samples, probabilities, entropy, the finite support.

Each file of this folder holds public functions. `request/` checks their input and holds the graph in the forms that
they read; `loops/` holds the compiled loops; `derivations/` is about derivations, the paths of graphs with hyperedges.
"""

from dagdp.paths.best import best_path as best_path
from dagdp.paths.derivations.result import Derivations as Derivations
from dagdp.paths.entropy import cross_entropy as cross_entropy
from dagdp.paths.entropy import entropy as entropy
from dagdp.paths.entropy import kl_divergence as kl_divergence
from dagdp.paths.expectation import expectation as expectation
from dagdp.paths.k_best import k_best as k_best
from dagdp.paths.log_prob import path_log_prob as path_log_prob
from dagdp.paths.marginals import node_marginals as node_marginals
from dagdp.paths.result import Paths as Paths
from dagdp.paths.sampling import sample_paths as sample_paths
from dagdp.paths.smoothing_gap import gap_bound as gap_bound
from dagdp.paths.support import Support as Support
from dagdp.paths.support import count_paths as count_paths
from dagdp.paths.support import support as support
from dagdp.paths.support import support_size as support_size
from dagdp.paths.values import max_marginals as max_marginals
from dagdp.paths.values import node_values as node_values
from dagdp.paths.values import slack as slack
