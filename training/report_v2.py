"""What `tiny-v2` has learned, and how many of its drafts are kept: its REPORT and PROVENANCE."""

from __future__ import annotations

import datetime
from collections import Counter
from pathlib import Path
from typing import Any

import torch

from training import acceptance, report
from training.corpus import Corpus
from training.exercises import SEED
from training.further import LENGTH, RANKS, ROWS
from training.further_packages import FURTHER
from training.models import bundled
from training.packages import EXTRACTS, WORKLOADS
from training.save_heads import load_eagle, load_mtp

AIMS = {"code": 0.50, "json_sql": 0.60, "chat": 0.50, "multilingual": 0.35, "creative": 0.35}
"""Share of the draft model's drafts that was to be kept."""
HEAD_AIM = 0.10
"""By how much more the EAGLE-3 head's share was to be."""
HELD_OUT_DOCUMENTS = 10
"""Of a class, that are scored."""

ANSWERING = {extract.package.name for extract in FURTHER if extract.reader == "functions"}
"""Packages whose code is also read as answers: what is held out of it may be learned from there."""


def write(folder: Path, corpus: Corpus, *, before: Path, steps: int) -> None:
    """Evaluate the pair in `folder` beside the one `before`, and write both files."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder / "target")
    target, draft = bundled(folder / "target"), bundled(folder / "draft")
    lines = [
        "# What tiny-v2 has learned",
        "",
        "Written by `python -m training.v2 report`; not edited by hand.",
        "",
        f"- date: {datetime.datetime.now(tz=datetime.UTC):%Y-%m-%d}, torch {torch.__version__}",
        f"- training of the target, from that of `tiny` on: {steps:,} steps of {RANKS * ROWS} "
        f"windows of {LENGTH} tokens, {steps * RANKS * ROWS * LENGTH:,} tokens",
        f"- parameters: target {report.count(target):,}, draft {report.count(draft):,}, EAGLE-3 "
        f"head {report.count(load_eagle(folder / 'eagle3', target=target)):,}, MTP head "
        f"{report.count(load_mtp(folder / 'mtp', target=target)):,}",
        "",
        *bits(corpus, tokenizer, target, draft, bundled(before / "target")),
        *kept(folder, tokenizer, target, draft, before=before),
        f"## Samples: greedy, {report.SAMPLE_TOKENS} tokens of the target",
        "",
    ]
    for workload, prompt in report.SAMPLES.items():
        text = report.sample(prompt, tokenizer, target)
        lines += [f"{workload}:", "", "````text", f"{prompt}⟦{text}⟧", "````", ""]
    (folder / "REPORT.md").write_text("\n".join(lines), encoding="utf-8")
    (folder / "PROVENANCE.md").write_text(provenance(corpus), encoding="utf-8")


def bits(corpus: Corpus, tokenizer: Any, target: Any, draft: Any, before: Any) -> list[str]:
    """Bits per byte of held-out text, beside those of the pair before."""
    lines = [
        "## Held-out text",
        "",
        "Bits per byte of held-out documents that neither target was trained on; of code without",
        "the packages whose functions are answers of the chat class. The draft is distilled on the",
        "target's output, not on text, and pays for that here. At most "
        f"{HELD_OUT_DOCUMENTS} documents a class.",
        "",
        "| class | held-out bytes | tiny's target | target | draft | agreement |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for workload in (*WORKLOADS, "exercises"):
        own = [
            document
            for document in corpus.held_out
            if document.workload == workload
            and (workload != "code" or document.package not in ANSWERING)
        ][:HELD_OUT_DOCUMENTS]
        now = report.evaluate(own, tokenizer, target, draft)
        old = report.evaluate(own, tokenizer, before, draft)
        lines.append(
            f"| {workload} | {now.bytes:,} | {old.target_bits:.2f} | {now.target_bits:.2f} | "
            f"{now.draft_bits:.2f} | {now.agreement:.0%} |"
        )
    return [*lines, ""]


def kept(folder: Path, tokenizer: Any, target: Any, draft: Any, *, before: Path) -> list[str]:
    """Drafts that are kept, by drafter, class and slot."""
    end, embedding = tokenizer.eos_token_id, target.lm_head.weight.detach()
    texts = acceptance.greedy_texts(target, tokenizer)
    drafters = {
        "draft model": acceptance.by_draft(draft),
        "EAGLE-3 head": acceptance.by_eagle(
            load_eagle(folder / "eagle3", target=target), embedding
        ),
        "MTP head": acceptance.by_mtp(load_mtp(folder / "mtp", target=target), embedding),
    }
    found = {
        name: acceptance.acceptance(target, texts, right, end=end)
        for name, right in drafters.items()
    }
    old_target = bundled(before / "target")
    old = acceptance.acceptance(
        old_target,
        acceptance.greedy_texts(old_target, tokenizer),
        acceptance.by_draft(bundled(before / "draft")),
        end=end,
    )
    lines = [
        "## Drafts kept",
        "",
        "In greedy decoding of the class suites' greedy cases, fp32, at gamma 4 (MTP head: 2, a",
        "draft a depth). Share: drafts kept of all proposed. By slot: of the drafts whose",
        "predecessors in the step all were kept.",
        "",
        "| class | drafter | steps | share | aim | tokens a step | by slot |",
        "|---|---|---:|---:|---:|---:|---|",
    ]
    for workload in WORKLOADS:
        for name, by_class in {"tiny's draft model": old, **found}.items():
            row = by_class[workload]
            lines.append(
                f"| {workload} | {name} | {row.steps:,} | {row.share:.2f} | "
                f"{aim(workload, name, found)} | {row.tokens_a_step:.2f} | "
                f"{', '.join(f'{share:.2f}' for share in row.if_reached)} |"
            )
    return [*lines, ""]


def aim(workload: str, name: str, found: dict[str, dict[str, acceptance.Kept]]) -> str:
    """What the recipe aimed at, and by how much it was missed."""
    if name == "draft model":
        wanted = AIMS[workload]
    elif name == "EAGLE-3 head":
        wanted = found["draft model"][workload].share + HEAD_AIM
    else:
        return ""
    short = wanted - found[name][workload].share
    return f"{wanted:.2f}" + (f", missed by {short:.2f}" if short > 0 else ", met")


def provenance(corpus: Corpus) -> str:
    """Which packages and scripts the text comes from."""
    used: Counter[tuple[str, str]] = Counter()
    for document in (*corpus.training, *corpus.held_out):
        used[document.workload, document.package] += len(document.text.encode())
    rows = {}
    for extract in (*EXTRACTS, *FURTHER):
        package = extract.package
        origin = "Debian 12" if package.registry == "debian" else f"PyPI, {package.registry}"
        rows[extract.workload, package.name] = (
            f"| {extract.workload} | {package.name} {package.version} | {origin} | "
            f"{package.licence} | {used[extract.workload, package.name]:,} | "
            f"`{package.sha256[:16]}` |"
        )
    return "\n".join(
        [
            "# Where tiny-v2's training text comes from",
            "",
            "Written by `python -m training.v2 report`; not edited by hand. The target begins as",
            "that of `tiny`, which learned from a part of this text. Checksums in full are in",
            "`training/packages.py` and `training/further_packages.py`.",
            "",
            "| class | package | from | licence | bytes | sha256 |",
            "|---|---|---|---|---:|---|",
            *rows.values(),
            "",
            "Besides text that people wrote, a sixth of each step are exercises that a script",
            f"(`training/exercises.py`, seed {SEED}) writes: "
            f"{used['exercises', 'exercises']:,} bytes of sums, dates, yes-or-no questions,",
            "lists, tables, JSON, SQL and textbook functions, of the kinds that the bundled suites",
            "grade, with words and numbers of their own. No prompt of a suite is among them.",
            "",
            "Draft model and heads are distilled on the target's own output, behind prompts cut",
            "from the text above.",
            "",
        ]
    )
