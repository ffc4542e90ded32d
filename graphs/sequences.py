"""Graphs of sequences, as recurrences: the Viterbi trellis, and the linear chain of a CRF."""

from __future__ import annotations

from dagdp import Graph, GraphError, recurrence
from dagdp.graphs.alignment_grid import positive

FIRST_STEP = {
    "single": "v[0, i] = theta[0, i, 0]",
    "all": "begin[j] = 0\nv[0, i] = max[j](begin[j] + theta[0, i, j])",
}
STEPS = "v[t, i] = max[j](v[t-1, j] + theta[t, i, j])"
AFTER_THE_LAST_STEP = "done = max[i](v[-1, i])\nreturn done"
AFTER_EACH_STEP = "done[t] = max[i](v[t, i])\nreturn max[t](done[t])"

LINEAR_CHAIN = """
    v[0, i] = start[i] + emission[0, i]
    v[t, i] = max[j](v[t-1, j] + transition[i, j]) + emission[t, i]
    done = max[i](v[-1, i] + end[i])
    return done
"""
RAGGED_CHAIN = """
    v[0, i] = start[i] + emission[0, i]
    v[t, i] = max[j](v[t-1, j] + transition[i, j]) + emission[t, i]
    done[t] = max[i](v[t, i] + end[i])
    return max[t](done[t])
"""


def trellis(T: int, S: int, initial: str = "single", ragged: bool = False) -> Graph:
    """The Viterbi graph: S states at each of T steps, one potential `theta` (T, S, S) as [t, to, from].

    Nodes: the start nodes, then step by step the states, then the ends.

    Parameters
    ----------
    T, S : the numbers of steps and of states, at least 1.
    initial : "single": one start node (y_0 = 1), so of theta[0] only theta[0, :, 0] is used; (T-1)S² + 2S edges.
        "all": S start nodes with v_0 = 0, all of theta[0] is used (the paper's Algorithm 3); TS² + S edges.
    ragged : one end after every step instead of one after the last, for `end=`: `dag.ends_of(lengths)` has the ends
        of sequences of these lengths. Without `end=` the value is the maximum over all ends.

    Raises GraphError for sizes below 1, and for any other `initial`.

    >>> print(trellis(3, 2).text)
    v[0, i] = theta[0, i, 0]
    v[t, i] = max[j](v[t-1, j] + theta[t, i, j])
    done = max[i](v[-1, i])
    return done
    """
    positive("trellis", T=T, S=S)
    if initial not in FIRST_STEP:
        raise GraphError(f"initial={initial!r}; expected 'single' (one start) or 'all' (v_0 = 0 in every state)")
    text = "\n".join([FIRST_STEP[initial], STEPS, AFTER_EACH_STEP if ragged else AFTER_THE_LAST_STEP])
    return recurrence(text, t=T, i=S, j=S)


def linear_chain(T: int, S: int, ragged: bool = False) -> Graph:
    """A linear-chain CRF: potentials emission (T, S), transition (S, S) as [to, from], start (S,), end (S,).

    A path through states y scores start[y_0] + Σ_t emission[t, y_t] + Σ_t transition[y_t, y_{t-1}] + end[y_{T-1}]; no
    array has T·S·S entries. T, S and ragged are those of `trellis`. Raises GraphError for sizes below 1.

    >>> linear_chain(3, 2).num_edges
    12
    """
    positive("linear_chain", T=T, S=S)
    potentials = {"emission": (T, S), "transition": (S, S), "start": (S,), "end": (S,)}
    return recurrence(RAGGED_CHAIN if ragged else LINEAR_CHAIN, potentials, t=T, i=S, j=S)
