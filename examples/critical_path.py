"""Critical paths of scientific workflows: which tasks decide how long a run takes, and how firmly.

    python examples/critical_path.py run.json [more.json ...]    # any WfFormat instance (wfcommons.org)
    python examples/critical_path.py                             # a small workflow of its own

A workflow is a DAG of tasks; with as many workers as it wants, it takes as long as its longest chain of tasks. That
is the plain maximum over paths. Its gradient says which tasks are on the longest chain and is blind to a chain that
is a second shorter. The smoothed maximum gives every task a criticality between 0 and 1: the probability that it
lies on the chain that decides, were runtimes uncertain by about gamma seconds.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import dagdp
from dagdp import CompiledDAG, Graph, Negentropy, Tsallis

OWN = {  # task: (seconds, what it waits for)
    "fetch": (40.0, []),
    "clean": (25.0, ["fetch"]),
    "align": (90.0, ["clean"]),
    "count": (15.0, ["align"]),
    "stats": (85.0, ["clean"]),
    "plots": (12.0, ["stats"]),
    "report": (8.0, ["count", "plots"]),
}


@dataclass(frozen=True)
class Workflow:
    """Tasks with runtimes in seconds, and who waits for whom."""

    name: str
    seconds: dict[str, float]
    parents: dict[str, list[str]]


def read(path: Path) -> Workflow:
    """A WfFormat instance: tasks and their parents from its specification, runtimes from its execution."""
    content = json.loads(path.read_text())["workflow"]
    tasks = content["specification"]["tasks"]
    ran = {task["id"]: float(task["runtimeInSeconds"]) for task in content["execution"]["tasks"]}
    return Workflow(
        path.stem,
        {task["id"]: ran.get(task["id"], 0.0) for task in tasks},
        {task["id"]: list(task["parents"]) for task in tasks},
    )


def as_dag(workflow: Workflow) -> tuple[CompiledDAG, NDArray[np.float64]]:
    """(dag, seconds): every task is a node with its runtime; those that wait for nothing may begin a chain.

    A chain ends at any task that no other waits for.
    """
    tasks = list(workflow.seconds)
    waited_for = {parent for parents in workflow.parents.values() for parent in parents}
    last = [task for task in tasks if task not in waited_for]
    graph = Graph(ends=last, potentials={"seconds": (len(tasks),)})
    for number, task in enumerate(tasks):
        graph.add_node(task, seconds=number)
        for parent in workflow.parents[task]:
            graph.add_edge(parent, task)
    return dagdp.compile(graph), np.array(list(workflow.seconds.values()))


def report(workflow: Workflow, gamma: float) -> float:
    """Print one workflow's critical path and the criticality of its tasks; the critical path in seconds."""
    dag, seconds = as_dag(workflow)
    longest = dagdp.best_path(dag, seconds)
    chain = longest.names(dag)
    print(f"\n{workflow.name}: {len(seconds)} tasks, {dagdp.count_paths(dag)} chains")
    print(f"  critical path {float(longest.scores):.1f} s of {seconds.sum():.1f} s of work, {len(chain)} tasks")
    sparse = Tsallis(2.0, gamma)
    print(f"  chains that may decide at gamma = {gamma:g} s: {dagdp.support_size(dag, seconds, sparse)}")
    soft = dagdp.dp_grad(dag, seconds, Negentropy(gamma))
    exact = dagdp.dp_grad(dag, seconds, sparse)
    print(f"  {'seconds':>9} {'Negentropy':>11} {'Tsallis(2)':>11}  criticality of the task")
    tasks = list(workflow.seconds)
    for k in np.lexsort((-seconds, -soft.round(3)))[:8]:
        mark = "*" if tasks[k] in chain else " "
        print(f"  {seconds[k]:9.1f} {soft[k]:11.3f} {exact[k]:11.3f} {mark} {tasks[k]}")
    print("  * on the critical path")
    return float(longest.scores)


def main() -> None:
    """Report each workflow named on the command line, or the built-in one."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="*", type=Path, help="WfFormat JSON files; default: a small workflow of its own")
    parser.add_argument("--gamma", type=float, default=5.0, help="temperature in seconds (default 5)")
    given = parser.parse_args()
    own = Workflow(
        "a small workflow", {t: s for t, (s, _) in OWN.items()}, {t: list(waits) for t, (_, waits) in OWN.items()}
    )
    for workflow in [read(path) for path in given.files] or [own]:
        report(workflow, given.gamma)


if __name__ == "__main__":
    main()
