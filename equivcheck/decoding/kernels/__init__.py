"""Triton kernels, for GPUs; tested in Triton's interpreter, and compiled for GPUs, on a CPU.

Importing a module of this room imports Triton. Each result depends on its own row alone, whatever
is computed beside it.
"""
