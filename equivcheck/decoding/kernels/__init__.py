"""Triton kernels, for GPUs; tested in Triton's interpreter, and compiled for GPUs, on a CPU.

Importing a module of this room imports Triton, but for `needs`, which says whether that would do.
Each result depends on its own row alone, whatever is computed beside it.
"""
