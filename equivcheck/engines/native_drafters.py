"""Who drafts for the native engine: builds the drafter that its options name.

PYTEST_DONT_REWRITE: this code is timed.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from equivcheck.core.engine import DraftSource
from equivcheck.core.errors import SettingsError
from equivcheck.decoding.backends.choose import fastest_products
from equivcheck.decoding.drafters import Drafter, ModelDrafter, PromptLookupDrafter
from equivcheck.decoding.head_drafter import HeadDrafter
from equivcheck.decoding.head_files import HeadFiles, digest, eagle_head, mtp_head, read_head
from equivcheck.decoding.heads import EagleHead, Head
from equivcheck.decoding.mixing import MixedDrafter
from equivcheck.decoding.model import StaticModel
from equivcheck.decoding.suffix_drafter import SuffixDrafter
from equivcheck.engines.models import adopted_freely
from equivcheck.engines.native_options import NativeOptions
from equivcheck.pairs.load import LoadedPair

HEADS: dict[str, Callable[[HeadFiles], Head]] = {"eagle3": eagle_head, "mtp": mtp_head}


class DrafterInfo(NamedTuple):
    """What an engine says of its drafter."""

    source: DraftSource | None
    method: str | None
    notes: tuple[str, ...] = ()


def build_drafter(
    options: NativeOptions, pair: LoadedPair, target: StaticModel, *, rows: int
) -> tuple[Drafter, DrafterInfo]:
    """The drafter asked for, and what to say of it.

    Raises:
        SettingsError: what it takes was not given.
        PairError: a head cannot be read or run.
    """
    kind = options.drafter
    if options.head is not None and kind not in HEADS:
        raise SettingsError(
            f"native: head is for drafter={' or '.join(HEADS)}, not for drafter={kind}"
        )
    if kind in HEADS:
        return build_head(options, pair, target, rows=rows)
    if kind == "suffix":
        drafter = SuffixDrafter(rows=rows, most=options.gamma, device=target.device)
        return drafter, DrafterInfo("one-hot", kind)
    if kind in ("model", "mixed") and pair.draft is None:
        raise SettingsError(
            f"native: drafter={kind}, but the pair has no draft model; "
            f"name one as TARGET+DRAFT, or use drafter=lookup"
        )
    if kind == "lookup" or pair.draft is None:
        return PromptLookupDrafter(), DrafterInfo("lookup", None)
    positions = target.key_positions.shape[0]
    model = ModelDrafter(adopted_freely(pair.draft, positions, kernels=options.kernels), rows=rows)
    if kind == "mixed":
        return MixedDrafter(model, PromptLookupDrafter()), DrafterInfo(None, None)
    return model, DrafterInfo("model", None)


def build_head(
    options: NativeOptions, pair: LoadedPair, target: StaticModel, *, rows: int
) -> tuple[Drafter, DrafterInfo]:
    """A drafter that runs a head from disk."""
    kind, folder = options.drafter, head_folder(options, pair)
    backend = fastest_products(target.device, dtype=target.dtype, kernels=options.kernels)
    head = HEADS[kind](read_head(folder, target, backend=backend))
    note = f"{kind} head of sha256 {digest(folder)[:16]}, drafts up to position {head.limit}"
    if isinstance(head, EagleHead):
        note += f", {head.target_ids.shape[0]} of {head.vocab} ids"
    drafter = HeadDrafter(head, rows=rows, most=options.gamma)
    return drafter, DrafterInfo(None, kind, (note,))


def head_folder(options: NativeOptions, pair: LoadedPair) -> Path:
    """Where the head lies: as the options say, else beside the target's folder.

    Raises:
        SettingsError: there is none.
    """
    if options.head is not None:
        return Path(options.head)
    source = pair.source.target
    beside = Path(source.location).parent / options.drafter
    if source.kind == "folder" and (beside / "config.json").is_file():
        return beside
    raise SettingsError(
        f"native: drafter={options.drafter}, but the pair brings no such head; "
        f"name its folder: head=FOLDER"
    )
