"""Ready-made graphs, and the Viterbi algorithm and dynamic time warping on them. Uses dagdp's public names only."""

from dagdp.graphs import time_series as time_series
from dagdp.graphs.alignment_grid import dtw_grid as dtw_grid
from dagdp.graphs.dtw import dtw_accumulated as dtw_accumulated
from dagdp.graphs.dtw import dtw_grad as dtw_grad
from dagdp.graphs.dtw import dtw_hvp as dtw_hvp
from dagdp.graphs.dtw import dtw_path as dtw_path
from dagdp.graphs.dtw import dtw_subsequence as dtw_subsequence
from dagdp.graphs.dtw import dtw_value as dtw_value
from dagdp.graphs.elastic import drop_dtw as drop_dtw
from dagdp.graphs.elastic import edr_distance as edr_distance
from dagdp.graphs.elastic import erp_distance as erp_distance
from dagdp.graphs.elastic import lcss_length as lcss_length
from dagdp.graphs.elastic import msm_distance as msm_distance
from dagdp.graphs.elastic import twe_distance as twe_distance
from dagdp.graphs.onsets import alignment_from_onsets as alignment_from_onsets
from dagdp.graphs.onsets import onsets_from_alignment as onsets_from_alignment
from dagdp.graphs.sequences import linear_chain as linear_chain
from dagdp.graphs.sequences import trellis as trellis
from dagdp.graphs.viterbi import viterbi_decode as viterbi_decode
from dagdp.graphs.viterbi import viterbi_grad as viterbi_grad
from dagdp.graphs.viterbi import viterbi_hvp as viterbi_hvp
from dagdp.graphs.viterbi import viterbi_marginals as viterbi_marginals
from dagdp.graphs.viterbi import viterbi_value as viterbi_value
