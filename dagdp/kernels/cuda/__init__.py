"""The recursion on a CUDA device: texts of the kernels, their plan of a graph, how they are compiled and launched."""
