"""A head in fp32, for products that take both factors in one dtype.

The copy is made when it is first used, once for all models of a head, and goes with the head.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.utils.weak import WeakIdKeyDictionary

COPIES: Any = WeakIdKeyDictionary()


def widened(head: Tensor) -> Tensor:
    """The head in fp32: itself where it is."""
    if head.dtype == torch.float32:
        return head
    if head not in COPIES:
        COPIES[head] = head.float()
    copy: Tensor = COPIES[head]
    return copy


def widened_bytes(weight: Tensor) -> int:
    """Memory that the copy of a weight takes; 0 without one."""
    return COPIES[weight].nbytes if weight in COPIES else 0
