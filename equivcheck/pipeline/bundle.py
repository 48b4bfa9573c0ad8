"""Make a bundle of a failure: a bug report, the evidence, and one script that repeats it.

Nothing is run here. What leaves with it is decided by the caller, who shows the prompts first.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from typing import Any

import msgspec
from msgspec import Struct

from equivcheck.core.errors import PairError, RecordsError
from equivcheck.core.generation import Request
from equivcheck.pairs.sources import ModelSource, resolve
from equivcheck.pipeline.bundle_event import ORDER_WORDS, BundleEvent, event_of
from equivcheck.pipeline.bundle_script import script
from equivcheck.pipeline.bundle_subject import Subject, subject_of
from equivcheck.pipeline.bundle_templates import templates
from equivcheck.pipeline.bundle_words import readme
from equivcheck.records.records import CANDIDATE, SAMPLED, TARGET, Evidence

MOST_BYTES = 2_000_000
_EPOCH = (1980, 1, 1, 0, 0, 0)
"""So that the same run gives the same bytes."""


class Bundle(Struct, frozen=True, kw_only=True):
    """A bundle, not written yet."""

    subject: Subject
    data: bytes
    """The zip."""
    files: dict[str, int]
    """Name to size, bytes."""


def bundle(evidence: Evidence, key: str | None = None, *, redact: bool = False) -> Bundle:
    """Make one of a case that failed, or of the first failure that a script can repeat.

    Args:
        evidence: A judged run.
        key: ``workload/id``; None: whatever failed first.
        redact: Leave out every token and text of prompts and answers; digests stand for prompts.

    Raises:
        RecordsError: no such case, nothing that can be repeated, or more than `MOST_BYTES`.
    """
    subject = subject_of(evidence, key)
    event = None
    if subject.kind == "draws":
        event = event_of(evidence, subject.batch, case=subject.key)
    texts = {
        "README.md": readme(evidence, subject, event, redacted=redact),
        "bundle.json": _json(_facts(evidence, subject, event, redact=redact)),
        "evidence.json": _json(_recorded(evidence, subject, redact=redact)),
        "repeat.py": script(),
        **templates(each.engine for each in evidence.header.arms.values()),
    }
    data = _zip(texts)
    if len(data) > MOST_BYTES:
        raise RecordsError(f"the bundle has {len(data):,} bytes, and may have {MOST_BYTES:,}")
    files = {name: len(text.encode()) for name, text in texts.items()}
    return Bundle(subject=subject, data=data, files=files)


def _facts(
    evidence: Evidence, subject: Subject, event: BundleEvent | None, *, redact: bool
) -> dict[str, Any]:
    """What the script reads."""
    header, settings = evidence.header, evidence.header.settings
    arm = SAMPLED if subject.kind == "draws" else CANDIDATE
    told = header.arms[arm]
    setup = msgspec.structs.replace(
        settings.setup, batch_size=told.batch_size, threads=told.threads or settings.setup.threads
    )
    return {
        "kind": subject.kind,
        "check": subject.finding.check,
        "key": subject.key,
        "engines": {"candidate": told.engine, "target": header.arms[TARGET].engine},
        "models": _models(settings.setup.pair),
        "setup": msgspec.to_builtins(setup),
        "eos_token_ids": header.eos_token_ids,
        "vocab_size": header.vocab_size,
        "block": told.num_speculative_tokens,
        "exact": _exact(evidence),
        "near_tie_ulps": settings.near_tie_ulps,
        "parted": None if redact else _parted(evidence, subject),
        "event": event and msgspec.to_builtins(event) | {"words": ORDER_WORDS[event.order]},
        "requests": [_request(each, redact=redact) for each in subject.batch],
    }


def _exact(evidence: Evidence) -> bool:
    """Whether both arms name one identity contract, so that nothing is excused."""
    names = {evidence.header.arms[arm].identity for arm in (CANDIDATE, TARGET)}
    return len(names) == 1 and None not in names


def _parted(evidence: Evidence, subject: Subject) -> list[int] | None:
    """Place, candidate's and target's token where they parted; None: not between these two."""
    found = [evidence.captured.get(arm, {}).get(subject.key) for arm in (CANDIDATE, TARGET)]
    if subject.kind != "tokens" or None in found:
        return None
    one, other = (each.generation.token_ids if each else () for each in found)
    for place, (mine, theirs) in enumerate(zip(one, other, strict=False)):
        if mine != theirs:
            return [place, mine, theirs]
    return None


def _request(request: Request, *, redact: bool) -> dict[str, Any]:
    """A request; stop strings and biases are settings, and stay."""
    record: dict[str, Any] = msgspec.to_builtins(request)
    text = json.dumps(record["prompt_ids"], separators=(",", ":"))
    record["prompt_sha256"] = hashlib.sha256(text.encode()).hexdigest()
    if redact:
        del record["prompt_ids"]
    return record


def _recorded(evidence: Evidence, subject: Subject, *, redact: bool) -> dict[str, Any]:
    """The manifest, the findings, and what the arms answered to the case."""
    found = [each for each in subject.findings if each.subject in (subject.key, "run")]
    record = {
        "header": msgspec.to_builtins(evidence.header),
        "findings": [msgspec.to_builtins(each) for each in (subject.finding, *found)],
    }
    if redact:
        keep = ("check", "subject", "outcome", "reason", "n")
        record["findings"] = [
            {name: each[name] for name in keep if name in each} for each in record["findings"]
        ]
        return record
    arms = evidence.captured.items()
    answers = [answers[subject.key] for _, answers in arms if subject.key in answers]
    judged = [each for each in evidence.arbitrations if each.key == subject.key]
    return record | {
        "answers": [msgspec.to_builtins(each) for each in answers],
        "arbitrations": [msgspec.to_builtins(each) for each in judged],
    }


def _models(pair: str) -> dict[str, str | None]:
    """Where transformers finds the models by itself; None: only by the pair's name."""
    try:
        source = resolve(pair)
    except PairError:
        return {"target": None, "draft": None}
    return {"target": _location(source.target), "draft": _location(source.draft)}


def _location(source: ModelSource | None) -> str | None:
    if source is None or source.kind != "hub" or source.made:
        return None
    return source.location


def _json(record: object) -> str:
    return msgspec.json.format(msgspec.json.encode(record), indent=1).decode() + "\n"


def _zip(texts: dict[str, str]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in texts.items():
            entry = zipfile.ZipInfo(name, _EPOCH)
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, text, zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


def prompts_of(subject: Subject, *, tokenizer: Any = None) -> list[tuple[str, str]]:
    """Key and text of every prompt that leaves with a bundle; ids where no tokenizer is given."""
    found = []
    for request in subject.batch:
        ids = list(request.prompt_ids)
        text = str(ids) if tokenizer is None else tokenizer.decode(ids)
        found.append((request.key, text))
    return found
