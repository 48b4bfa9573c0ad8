"""What findings are about: cases gathered by workload, and the command that repeats one."""

from __future__ import annotations

import shlex

from equivcheck.records.records import Evidence

RUN = "run"
"""Subject of a finding about everything at once."""


def repeat_command(evidence: Evidence, key: str) -> str:
    """The shell command that repeats one case of this run."""
    return command("replay", evidence.header.run, key)


def at_token(evidence: Evidence, key: str, position: int, *, of: int | None = None) -> str:
    """``output token 3 (sequence position 17)``, both from 0; ``output token 3 of 32 (...)``."""
    prompt = len(evidence.asked[key].request.prompt_ids)
    length = "" if of is None else f" of {of}"
    return f"output token {position}{length} (sequence position {prompt + position})"


def command(*words: str) -> str:
    """A verb and its words as one can paste them into a shell: records may be anybody's."""
    return shlex.join(["equivcheck", *words])


def plural(count: int, noun: str) -> str:
    """``1 case``, ``2 cases``, ``13,312 tokens``."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
