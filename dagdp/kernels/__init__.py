"""The engine: scalar text (recursion.py), loops over lanes (tiles.py), the CPU schedule (cpu.py)."""
