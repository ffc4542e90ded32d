"""Ready-made graphs, and the Viterbi algorithm and dynamic time warping on them. Uses dagdp's public names only."""

from dagdp.graphs import classics as classics
from dagdp.graphs import trees as trees
from dagdp.graphs.alignment_grid import dtw_grid as dtw_grid
from dagdp.graphs.dtw import dtw_grad as dtw_grad
from dagdp.graphs.dtw import dtw_hvp as dtw_hvp
from dagdp.graphs.dtw import dtw_path as dtw_path
from dagdp.graphs.dtw import dtw_value as dtw_value
from dagdp.graphs.onsets import alignment_from_onsets as alignment_from_onsets
from dagdp.graphs.onsets import onsets_from_alignment as onsets_from_alignment
from dagdp.graphs.sequences import linear_chain as linear_chain
from dagdp.graphs.sequences import trellis as trellis
from dagdp.graphs.viterbi import viterbi_decode as viterbi_decode
from dagdp.graphs.viterbi import viterbi_grad as viterbi_grad
from dagdp.graphs.viterbi import viterbi_hvp as viterbi_hvp
from dagdp.graphs.viterbi import viterbi_marginals as viterbi_marginals
from dagdp.graphs.viterbi import viterbi_value as viterbi_value
