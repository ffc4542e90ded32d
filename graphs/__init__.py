"""Ready-made graphs, and functions of data on them. Uses dagdp's public names only."""

from dagdp.graphs.alignment_grid import dtw_grid as dtw_grid
from dagdp.graphs.ctc import ctc_loss as ctc_loss
from dagdp.graphs.ctc import ctc_marginals as ctc_marginals
from dagdp.graphs.ctc import ctc_path as ctc_path
from dagdp.graphs.dtw import dtw_grad as dtw_grad
from dagdp.graphs.dtw import dtw_hvp as dtw_hvp
from dagdp.graphs.dtw import dtw_path as dtw_path
from dagdp.graphs.dtw import dtw_value as dtw_value
from dagdp.graphs.hmm import hmm_decode as hmm_decode
from dagdp.graphs.hmm import hmm_posterior as hmm_posterior
from dagdp.graphs.hmm import hmm_sample as hmm_sample
from dagdp.graphs.hmm import hmm_value as hmm_value
from dagdp.graphs.monotonic import monotonic_alignment as monotonic_alignment
from dagdp.graphs.onsets import alignment_from_onsets as alignment_from_onsets
from dagdp.graphs.onsets import onsets_from_alignment as onsets_from_alignment
from dagdp.graphs.rnnt import rnnt_loss as rnnt_loss
from dagdp.graphs.sequences import linear_chain as linear_chain
from dagdp.graphs.sequences import trellis as trellis
from dagdp.graphs.strings import edit_distance as edit_distance
from dagdp.graphs.viterbi import viterbi_decode as viterbi_decode
from dagdp.graphs.viterbi import viterbi_grad as viterbi_grad
from dagdp.graphs.viterbi import viterbi_hvp as viterbi_hvp
from dagdp.graphs.viterbi import viterbi_marginals as viterbi_marginals
from dagdp.graphs.viterbi import viterbi_value as viterbi_value
