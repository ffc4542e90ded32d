"""The front end for backend="torch" and graphs with linear potentials: see `dagdp.nn.autograd.linear`."""

from __future__ import annotations

from dagdp.engine.linear import LinearFrontEnd
from dagdp.nn.autograd.linear import arrays_of_tensors
from dagdp.nn.autograd.tensors import floating, real_tensor
from dagdp.nn.unrolled import functions

#: The front end for tensors on any device, in operations of torch.
unrolled_front_end = LinearFrontEnd(functions, arrays_of_tensors(real_tensor, floating))
