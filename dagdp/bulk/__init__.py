"""Many items at once: distance matrices block by block, and a function of many lattices, on threads or a Dask cluster.

Importing it needs the extra `dask`. A `distributed.Client` is an argument; without one, threads of this process work.
"""

try:
    import dask as _dask
except ModuleNotFoundError as error:
    if error.name != "dask":
        raise
    raise ImportError(
        "dagdp.bulk was imported where Dask is not installed; run `pip install dagdp[dask]`", name="dask"
    ) from error

from dagdp.bulk.distances import pairwise as pairwise
from dagdp.bulk.lattices import Failure as Failure
from dagdp.bulk.lattices import map_graphs as map_graphs

del _dask
