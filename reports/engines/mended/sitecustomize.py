"""Mend vLLM 0.32's CPU build for the rows whose name says so; see README.md beside this folder.

Its stand-in for the Triton kernel `expand` casts the output to int64, fills the copy and drops it,
so that temperatures of verified rows are whatever was in memory; it truncates them, too.
"""

import torch
from vllm.utils import cpu_triton_utils


def expand(output, values, ends, replace_from, replace_to, MAX_NUM_TOKENS=None):
    """Repeat each row's value over its tokens, one value replaced by another."""
    counts = torch.diff(ends.long(), prepend=ends.new_zeros(1).long())
    replaced = torch.where(values == replace_from, values.new_tensor(replace_to), values)
    output.copy_(torch.repeat_interleave(replaced, counts))


cpu_triton_utils._expand_kernel_impl = expand
