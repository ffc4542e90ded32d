"""The engine: scalar text (recursion.py), rows of lanes (lanes.py, text.py), the CPU schedule (cpu.py)."""
