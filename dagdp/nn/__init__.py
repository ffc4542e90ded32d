"""dagdp in PyTorch: layers, and the functions behind `dagdp.dp_*` for tensors. Importing this imports torch."""

from dagdp.nn.layers import DTW as DTW
from dagdp.nn.layers import DPGrad as DPGrad
from dagdp.nn.layers import DPValue as DPValue
from dagdp.nn.layers import LinearChainCRF as LinearChainCRF
from dagdp.nn.layers import Viterbi as Viterbi
from dagdp.nn.learnable import Learnable as Learnable
