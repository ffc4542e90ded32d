"""One call: from a user's arguments to launches of kernels, and back to the user's arrays. NumPy only.

run (bodies) -> prepare -> inputs (check), forms (known before?), graph_call or batch_call (plan) -> call -> launch.
"""
