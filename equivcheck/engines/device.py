"""Which device an engine runs on, and what decides over low bits there. Shared by engines."""

from __future__ import annotations

import torch

from equivcheck.errors import SettingsError
from equivcheck.settings import EngineSetup


def choose_device(setup: EngineSetup) -> torch.device:
    """The device asked for; auto is CUDA where there is one.

    Raises:
        SettingsError: there is no such device.
    """
    if setup.device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(setup.device)
    except RuntimeError as error:
        raise SettingsError(
            f"setup.device: {setup.device!r} is no device; use auto, cpu, cuda or cuda:N"
        ) from error
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise SettingsError(
            f"setup.device: {setup.device!r}, but torch sees {torch.cuda.device_count()} CUDA "
            f"devices here"
        )
    return device


def configure_arithmetic(setup: EngineSetup) -> None:
    """Fix what decides over bits: threads, and no silent loss of precision in matrix products."""
    if setup.threads is not None:
        torch.set_num_threads(setup.threads)
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction = False
    torch.backends.cuda.matmul.allow_fp16_reduced_precision_reduction = False
