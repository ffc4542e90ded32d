"""dagdp in PyTorch: layers, losses, and the front ends of `dagdp.dp_*` for tensors. Importing it imports torch.

`autograd`, `unrolled` and `costs` lie below `dagdp.functions`; all other modules lie above `dagdp.graphs`.
"""

try:
    import torch as _torch
except ModuleNotFoundError as error:
    if error.name != "torch":
        raise
    raise ImportError(
        "dagdp.nn was imported where PyTorch is not installed; run `pip install dagdp[torch]`", name="torch"
    ) from error

from dagdp.nn.autograd.learnable import Learnable as Learnable
from dagdp.nn.costs import cosine as cosine
from dagdp.nn.costs import euclidean as euclidean
from dagdp.nn.costs import l1 as l1
from dagdp.nn.costs import negative_dot as negative_dot
from dagdp.nn.costs import squared_euclidean as squared_euclidean
from dagdp.nn.crf import LinearChainCRF as LinearChainCRF
from dagdp.nn.divergence import dtw_divergence as dtw_divergence
from dagdp.nn.layers import DTW as DTW
from dagdp.nn.layers import DPGrad as DPGrad
from dagdp.nn.layers import DPValue as DPValue
from dagdp.nn.layers import Viterbi as Viterbi
from dagdp.nn.losses import alignment_area as alignment_area
from dagdp.nn.losses import crf_loss as crf_loss
from dagdp.nn.losses import fenchel_young_loss as fenchel_young_loss
from dagdp.nn.losses import hamming_cost as hamming_cost
from dagdp.nn.losses import hinge_loss as hinge_loss
from dagdp.nn.losses import perceptron_loss as perceptron_loss
from dagdp.nn.losses import relaxed_loss as relaxed_loss
from dagdp.nn.losses import structured_loss as structured_loss
from dagdp.nn.ragged import pad_ragged as pad_ragged
from dagdp.nn.tagging import LegalTransitions as LegalTransitions
from dagdp.nn.tagging import convert_tags as convert_tags
from dagdp.nn.tagging import legal_transitions as legal_transitions
from dagdp.nn.targets import Target as Target

del _torch
