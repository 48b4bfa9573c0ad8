"""What the pair has learned and from what: REPORT.md and PROVENANCE.md beside the weights."""

from __future__ import annotations

import datetime
import math
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import torch

from training.corpus import Corpus, Document
from training.data import SEQUENCE
from training.packages import EXTRACTS, WORKLOADS
from training.train import BATCH

SAMPLE_TOKENS = 48
SAMPLES = {
    "code": "def read_config(path):\n    ",
    "json_sql": "SELECT c.name, COUNT(*) AS orders\nFROM customers AS c\n",
    "chat": "<|user|>\nWhat is a computer?\n<|assistant|>\n",
    "multilingual": "Das Paket wird mit dem Befehl",
    "creative": "The king looked out upon the sea, and",
}


class ClassResult(NamedTuple):
    """Held-out figures of one class."""

    bytes: int
    target_bits: float
    """Bits per byte."""
    draft_bits: float
    unigram_bits: float
    uniform_bits: float
    agreement: float
    """Share of positions at which the draft's argmax is the target's."""


def write(
    folder: Path,
    corpus: Corpus,
    tokenizer: Any,
    target: Any,
    draft: Any,
    *,
    steps: int,
    seconds: float,
) -> None:
    """Evaluate on the held-out documents and write both files."""
    results = {
        workload: evaluate(
            [document for document in corpus.held_out if document.workload == workload],
            tokenizer,
            target,
            draft,
        )
        for workload in WORKLOADS
    }
    lines = [
        "# What the tiny pair has learned",
        "",
        "Written by `python -m training`; not edited by hand.",
        "",
        f"- date: {datetime.datetime.now(tz=datetime.UTC):%Y-%m-%d}, torch {torch.__version__}",
        f"- training: {seconds:,.0f} seconds on {torch.get_num_threads()} CPU thread; {steps:,} "
        f"steps of {BATCH} windows of {SEQUENCE} tokens, {steps * BATCH * SEQUENCE:,} tokens seen",
        f"- parameters: target {count(target):,}, draft {count(draft):,} "
        f"({count(target) / count(draft):.1f} to 1)",
        "",
        "Bits per byte of held-out documents, with the bundled bf16 weights and fp32 arithmetic. A",
        "document is a file or, of a long file, a piece of it: other pieces of the same file may",
        "have been trained on. Uniform: every token equally likely. Unigram: the token frequencies",
        "of the held-out text itself. Agreement: how often the draft's most likely token is the",
        "target's, which is what greedy acceptance depends on.",
        "",
        "| class | held-out bytes | uniform | unigram | draft | target | agreement |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    lines += [
        f"| {workload} | {r.bytes:,} | {r.uniform_bits:.2f} | {r.unigram_bits:.2f} | "
        f"{r.draft_bits:.2f} | {r.target_bits:.2f} | {r.agreement:.0%} |"
        for workload, r in results.items()
    ]
    lines += ["", f"## Samples: greedy, {SAMPLE_TOKENS} tokens of the target", ""]
    for workload, prompt in SAMPLES.items():
        text = sample(prompt, tokenizer, target)
        lines += [f"{workload}:", "", "````text", f"{prompt}⟦{text}⟧", "````", ""]
    (folder / "REPORT.md").write_text("\n".join(lines), encoding="utf-8")
    (folder / "PROVENANCE.md").write_text(provenance(corpus), encoding="utf-8")


def count(model: Any) -> int:
    """Parameters, tied ones once."""
    return sum(weight.numel() for weight in model.parameters())


@torch.inference_mode()
def evaluate(documents: list[Document], tokenizer: Any, target: Any, draft: Any) -> ClassResult:
    """Score documents in windows; the first token of each window is given, not scored."""
    nats = {"target": 0.0, "draft": 0.0}
    size = agreeing = positions = 0
    tokens: Counter[int] = Counter()
    for document in documents:
        size += len(document.text.encode())
        ids = tokenizer(document.text, add_special_tokens=False)["input_ids"]
        ids = [tokenizer.eos_token_id, *ids]
        tokens.update(ids[1:])
        for start in range(0, len(ids) - 1, SEQUENCE):
            window = torch.tensor([ids[start : start + SEQUENCE + 1]])
            logits = {"target": target(window).logits[0], "draft": draft(window).logits[0]}
            for role, rows in logits.items():
                distribution = rows[:-1].log_softmax(dim=-1)
                nats[role] -= float(distribution.gather(1, window[0, 1:, None]).sum())
            best = {role: rows[:-1].argmax(dim=-1) for role, rows in logits.items()}
            agreeing += int((best["target"] == best["draft"]).sum())
            positions += window.shape[1] - 1
    total = sum(tokens.values())
    unigram = -sum(n * math.log(n / total) for n in tokens.values())
    bits = {role: value / math.log(2) / size for role, value in nats.items()}
    return ClassResult(
        bytes=size,
        target_bits=bits["target"],
        draft_bits=bits["draft"],
        unigram_bits=unigram / math.log(2) / size,
        uniform_bits=total * math.log2(len(tokenizer)) / size,
        agreement=agreeing / positions,
    )


@torch.inference_mode()
def sample(prompt: str, tokenizer: Any, model: Any) -> str:
    """Greedy continuation."""
    ids = tokenizer(prompt, add_special_tokens=False)["input_ids"]
    for _ in range(SAMPLE_TOKENS):
        best = int(model(torch.tensor([ids])).logits[0, -1].argmax())
        ids.append(best)
        if best == tokenizer.eos_token_id:
            break
    text: str = tokenizer.decode(ids)
    return text[len(prompt) :]


def provenance(corpus: Corpus) -> str:
    """Which packages went in, under which licences, and how much of each was used."""
    used: Counter[tuple[str, str]] = Counter()
    for document in (*corpus.training, *corpus.held_out):
        used[document.workload, document.package] += len(document.text.encode())
    rows, seen = [], set()
    for extract in EXTRACTS:
        package = extract.package
        key = extract.workload, package.name
        if key in seen:
            continue
        seen.add(key)
        origin = "Debian 12" if package.registry == "debian" else f"PyPI, {package.registry}"
        rows.append(
            f"| {extract.workload} | {package.name} {package.version} | {origin} | "
            f"{package.licence} | {used[key]:,} | `{package.sha256[:16]}` |"
        )
    return "\n".join(
        [
            "# Where the tiny pair's training text comes from",
            "",
            "Written by `python -m training`; not edited by hand. Only text that",
            "people wrote; checksums in full are in `training/packages.py`.",
            "",
            "| class | package | from | licence | bytes used | sha256 |",
            "|---|---|---|---|---:|---|",
            *rows,
            "",
        ]
    )
