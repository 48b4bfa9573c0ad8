"""What an engine's module says of it before it is opened: `ABOUT`, for ``equivcheck engines``."""

from __future__ import annotations

from msgspec import Struct


class About(Struct, frozen=True, kw_only=True):
    """An engine in a few words, for people who choose one."""

    does: str
    needs: str
    """Beside the pair."""
    tells: str
    """Of its drafts and tokens."""
