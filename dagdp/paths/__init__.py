"""The path distribution: best and k best paths, samples, probabilities, entropy, the finite support."""

from dagdp.paths.averages import cross_entropy as cross_entropy
from dagdp.paths.averages import entropy as entropy
from dagdp.paths.averages import expectation as expectation
from dagdp.paths.averages import kl_divergence as kl_divergence
from dagdp.paths.best import best_path as best_path
from dagdp.paths.best import k_best as k_best
from dagdp.paths.density import path_log_prob as path_log_prob
from dagdp.paths.marginals import gap_bound as gap_bound
from dagdp.paths.marginals import node_marginals as node_marginals
from dagdp.paths.result import Paths as Paths
from dagdp.paths.support import Support as Support
from dagdp.paths.support import count_paths as count_paths
from dagdp.paths.support import support as support
from dagdp.paths.support import support_size as support_size
from dagdp.paths.values import max_marginals as max_marginals
from dagdp.paths.values import node_values as node_values
from dagdp.paths.values import slack as slack
from dagdp.paths.walk import sample_paths as sample_paths
