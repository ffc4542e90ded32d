"""
A project's critical path
=========================

A project is a set of tasks. Each takes some days, and waits for others to end. The project takes as long as its longest
chain of tasks, the *critical path*. Planners ask which tasks have slack, which other chains are nearly as long, how
likely a task is to be critical when durations are uncertain, and where a saved day shortens the project.

You will build the graph of a project, answer the first two questions exactly, replace the maximum by a smoothed maximum
to get a *criticality* for each task, compare it with a Monte-Carlo simulation, and use second derivatives to find the
two tasks that should be shortened together.
"""

import matplotlib.pyplot as plt
import numpy as np

import dagdp
from dagdp import Graph, HardMax, Negentropy, Tsallis

# %%
# A graph with weights on its nodes
# ---------------------------------
#
# A small house: for each task the days that it takes, and the tasks that it waits for.

TASKS = {
    "permit": (20, []),
    "ground": (5, ["permit"]),
    "foundation": (8, ["ground"]),
    "walls": (12, ["foundation"]),
    "roof": (9, ["walls"]),
    "order windows": (30, ["permit"]),
    "windows": (3, ["roof", "order windows"]),
    "wiring": (11, ["walls"]),
    "plumbing": (9, ["walls"]),
    "plaster": (6, ["windows", "wiring", "plumbing"]),
    "floors": (5, ["plaster"]),
    "garden": (14, ["walls"]),
    "handover": (1, ["floors", "garden"]),
}

# %%
# The weights belong to nodes, not to edges: every chain that enters a task pays the task's duration. A *potential* is a
# named array of weights, and ``add_node(task, days=k)`` says that node ``task`` reads entry k of the potential
# ``days``. Edges that read no potential weigh 0. ``compile`` checks the graph, and would name the tasks of a cycle. It
# is called once; durations are given to the compiled graph as often as needed.

graph = Graph(potentials={"days": (len(TASKS),)})
for k, task in enumerate(TASKS):
    graph.add_node(task, days=k)
for task, (_, waits_for) in TASKS.items():
    for other in waits_for:
        graph.add_edge(other, task)
dag = dagdp.compile(graph)

names = list(TASKS)
days = np.array([float(duration) for duration, _ in TASKS.values()])
print(f"{len(days)} tasks, {days.sum():.0f} days of work, {dagdp.count_paths(dag)} chains")
total = dagdp.dp_value(dag, days, HardMax())
print(f"The project takes {total:.0f} days.")

# %%
# Slack, and the longest chains
# -----------------------------
#
# ``node_values`` under ``HardMax`` is the longest chain up to each node: the day on which the task ends at the
# earliest. With ``direction="backward"`` it is the longest chain behind the node. The total less that number is the day
# on which the task has to end at the latest. The difference of the two days is the task's slack. The first 13 nodes are
# the tasks, in the order of ``add_node``. (One more node is the common start, which is added where a first task has a
# weight.)

earliest = dagdp.node_values(dag, days, HardMax())[: len(days)]
latest = total - dagdp.node_values(dag, days, HardMax(), direction="backward")[: len(days)]
slack = latest - earliest

figure, ax = plt.subplots(figsize=(7, 4), layout="constrained")
colours = np.where(slack == 0, "tab:red", "tab:blue")
ax.barh(names, days, left=earliest - days, color=colours)
ax.barh(names, slack, left=earliest, color="0.85")
ax.invert_yaxis()
ax.set(xlabel="day", title="Red: on the critical path. Grey: slack")
plt.show()

# %%
# ``best_path`` is the critical path. ``k_best`` lists the longest chains: how far behind is the second one?

longest = dagdp.k_best(dag, days, 4)
for score, chain in zip(longest.scores, longest.names(dag), strict=True):
    print(f"{score:.0f} days: {', '.join(chain)}")

# %%
# Criticality
# -----------
#
# "wiring" is a single day behind, and not on the critical path. With uncertain durations it may well decide.
#
# Replace max by the smoothed maximum ``Negentropy(gamma)``. Its gradient is the probability that each task lies on a
# chain drawn with probability proportional to exp(length / gamma). gamma has the unit of the durations, days: chains
# that are shorter than the longest by much more than gamma are improbable. ``Tsallis(2.0, gamma)`` gives probability
# exactly 0 to chains that are clearly shorter, and ``support`` lists the chains that remain.

omega = Negentropy(2.0)
soft = dagdp.dp_grad(dag, days, omega)
sparse = dagdp.dp_grad(dag, days, Tsallis(2.0, 2.0))
for task, one, other in zip(names, soft, sparse, strict=True):
    print(f"{task:14} {one:6.3f} {other:6.3f}")
assert np.isclose(soft[names.index("permit")], 1.0)  # every chain begins with it
print("Chains of probability above 0 under Tsallis:", dagdp.support_size(dag, days, Tsallis(2.0, 2.0)))

# %%
# A Monte-Carlo simulation
# ------------------------
#
# The usual *criticality index* is the share of simulated projects in which a task is on the critical path. Here each
# duration is drawn from a gamma distribution with a standard deviation of 15 % of its mean, independently. A batch of
# durations stands in front, [10000, 13], and one call finds all critical paths: the gradient under ``HardMax`` is 1 on
# the critical path and 0 elsewhere.

rng = np.random.default_rng(0)
spread = 0.15
drawn = rng.gamma(1 / spread**2, days * spread**2, size=(10_000, len(days)))
simulated = dagdp.dp_grad(dag, drawn, HardMax()).mean(0)

for gamma in (0.5, 1.0, 2.0, 4.0, 8.0):
    difference = np.abs(dagdp.dp_grad(dag, days, Negentropy(gamma)) - simulated).max()
    print(f"gamma = {gamma:4.1f} days: largest difference from the simulation {difference:.3f}")

# %%
# Both are gradients of a smoothed maximum: the criticality index is the gradient of the *expected* length of the
# project. But the models differ. The simulation gives "order windows", a single task of 30 days, an uncertainty of 4.5
# days; the smoothed maximum knows the lengths of chains alone, and finds the task less critical. With a gamma of the
# size of a chain's uncertainty the two rank the tasks alike, up to two neighbours. The smoothed maximum takes one pass
# over the graph in place of 10,000, has no sampling error, and can be differentiated again.

order = np.argsort(-simulated, kind="stable")
figure, ax = plt.subplots(figsize=(7, 3.5), layout="constrained")
for shift, values, label in ((-0.2, simulated, "simulation"), (0.2, soft, "Negentropy(2.0)")):
    ax.bar(np.arange(len(days)) + shift, values[order], width=0.4, label=label)
ax.set_xticks(range(len(days)), [names[k] for k in order], rotation=45, ha="right", rotation_mode="anchor")
ax.set(ylabel="probability of being critical")
ax.legend()
plt.show()

# %%
# Where to save days
# ------------------
#
# The gradient tells what one saved day brings, for small savings. What two savings bring together is a second
# derivative. ``dp_hvp`` multiplies the Hessian by a direction z: it says how all criticalities move when durations move
# by z. With an identity matrix as a batch of directions it is the whole Hessian, [13, 13].

hessian = dagdp.dp_hvp(dag, days, np.eye(len(days)), omega)
shown = [names.index(task) for task in ("walls", "roof", "order windows", "windows", "wiring", "plumbing", "garden")]
figure, ax = plt.subplots(figsize=(6.5, 5), layout="constrained")
bound = np.abs(hessian[np.ix_(shown, shown)]).max()
image = ax.imshow(hessian[np.ix_(shown, shown)], cmap="RdBu", vmin=-bound, vmax=bound)
ax.set_xticks(range(len(shown)), [names[k] for k in shown], rotation=45, ha="right", rotation_mode="anchor")
ax.set_yticks(range(len(shown)), [names[k] for k in shown])
figure.colorbar(image, label="change of criticality a day")
plt.show()

# %%
# "roof" and "windows" follow each other on one chain. A day more in one makes the other more critical: the entry is
# positive. "roof" and "wiring" are on different chains, and the entry is negative: a day less in one makes the other
# more critical.
#
# A crew can save two days in each of two tasks. A saving z shortens the project by about
# ``gradient @ z - z @ hessian @ z / 2``. We rank all pairs of tasks by this estimate, beside the exact change of the
# smoothed maximum, and that of the longest chain.


def saving(pair):
    z = np.zeros(len(days))
    z[pair] = 2.0
    exact = [dagdp.dp_value(dag, days, by) - dagdp.dp_value(dag, days - z, by) for by in (omega, HardMax())]
    return soft @ z - 0.5 * z @ hessian @ z, *exact


inside = [names.index(task) for task in ("roof", "windows", "wiring", "plumbing", "garden", "order windows")]
ranked = sorted(((*saving([a, b]), [a, b]) for a in inside for b in inside if a < b), reverse=True)
print("estimate   smooth   longest chain")
for estimate, smooth, hard, pair in ranked[:4]:
    print(f"{estimate:8.2f} {smooth:8.2f} {hard:8.2f}    {' and '.join(names[k] for k in pair)}")
assert all(abs(estimate - smooth) < 0.1 for estimate, smooth, _, _ in ranked)

# %%
# The best pair has one task on each of the two longest chains. Two tasks on one chain, "roof" and "windows", would save
# a single day, as "wiring" is the next to decide.
#
# Your own project
# ----------------
#
# - A waiting time between two tasks, such as concrete that has to dry, is the weight of an edge. Name a second
#   potential; theta is then a dict with an array for each potential.
# - A project with several last tasks has several ends: pass them as ``Graph(ends=[...], potentials=...)``.
# - Durations may be torch tensors, for example predictions of a network. ``dp_value`` is then differentiable.
# - ``examples/critical_path.py`` in the checkout reads workflows of computers in the format WfFormat.
