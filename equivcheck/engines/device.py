"""Which device an engine runs on, and what decides over low bits there. Shared by engines."""

from __future__ import annotations

import torch

from equivcheck.core.errors import SettingsError
from equivcheck.core.settings import EngineSetup
from equivcheck.pairs.load import LoadedPair, load_pair

KINDS = ("cpu", "cuda")
"""Devices that the identity contract, the timing and the seeds of a run are known on."""


def choose_device(setup: EngineSetup) -> torch.device:
    """The device asked for; auto is CUDA where there is one.

    Raises:
        SettingsError: there is no such device, or it is none of `KINDS`.
    """
    if setup.device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(setup.device)
    except RuntimeError as error:
        raise SettingsError(
            f"setup.device: {setup.device!r} is no device; use auto, cpu, cuda or cuda:N"
        ) from error
    if device.type not in KINDS:
        raise SettingsError(
            f"setup.device: {setup.device!r}: engines compute on cpu or cuda here; a server that "
            f"computes on another device is compared by its URL"
        )
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


def load_setup(setup: EngineSetup) -> LoadedPair:
    """The pair in the setup's dtype, on its device.

    Raises:
        PairError: it cannot be loaded.
    """
    device = choose_device(setup)
    if device.type == "cuda" and device.index is not None:
        # Recordings, events and Triton's kernels go to whichever is the current one.
        torch.cuda.set_device(device)
    return load_pair(setup.pair, dtype=getattr(torch, setup.dtype), device=device)


def device_facts(setup: EngineSetup) -> dict[str, str]:
    """What only torch knows of the place a run happens in. Stable within one installation."""
    device = choose_device(setup)
    # Those asked for count, whether an engine has been opened with them yet or not.
    facts = {"device": device.type, "threads": str(setup.threads or torch.get_num_threads())}
    if device.type == "cuda":
        known = torch.cuda.get_device_properties(device)
        facts |= {
            "device": known.name,
            "compute_capability": f"{known.major}.{known.minor}",
            "device_memory": f"{known.total_memory / 2**30:.1f} GiB",
            "cuda": torch.version.cuda or "",
            "cudnn": str(torch.backends.cudnn.version() or ""),
        }
    return {name: value for name, value in facts.items() if value}
