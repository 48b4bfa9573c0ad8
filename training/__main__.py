"""``python -m training``: make the bundled pair, from packages to weights."""

from __future__ import annotations

import argparse
import datetime
from pathlib import Path

import torch

from training import report
from training.corpus import collect
from training.data import encode
from training.models import DRAFT, TARGET, bundled, new_model, save
from training.tokenizer import train_tokenizer
from training.train import BATCH, PEAK_RATE, STEPS, Learner, train

BUNDLED = Path(__file__).parent.parent / "equivcheck" / "pairs" / "tiny"
THREADS = 1
"""More would be faster, but sums of several threads do not repeat bit for bit everywhere."""


def main() -> None:
    """Run the recipe; an interrupted run goes on where it stopped."""
    parser = argparse.ArgumentParser(prog="python -m training")
    parser.add_argument("--cache", type=Path, default=Path("build/pair"), help="working folder")
    parser.add_argument("--out", type=Path, default=BUNDLED, help="where the pair is written")
    parser.add_argument("--steps", type=int, default=STEPS)
    arguments = parser.parse_args()
    torch.set_num_threads(THREADS)

    say("reading the corpus")
    corpus = collect(arguments.cache / "packages")
    folders = {role: arguments.out / role for role in ("target", "draft")}
    for folder in folders.values():
        folder.mkdir(parents=True, exist_ok=True)
    say("learning the tokenizer")
    texts = [document.text for document in corpus.training]
    tokenizer = train_tokenizer(texts, list(folders.values()))
    streams = encode(corpus.training, tokenizer)
    say("tokens: " + ", ".join(f"{name} {len(ids):,}" for name, ids in streams.items()))

    special = {"end": tokenizer.eos_token_id, "pad": tokenizer.pad_token_id}
    target = new_model(TARGET, **special, seed=0)
    draft = new_model(DRAFT, **special, seed=1)
    seconds = train(
        Learner(target, peak=PEAK_RATE["target"]),
        Learner(draft, peak=PEAK_RATE["draft"]),
        streams,
        steps=arguments.steps,
        size=BATCH,
        checkpoints=arguments.cache / "checkpoints",
        report=say,
    )
    save(target, folders["target"])
    save(draft, folders["draft"])
    say("scoring the held-out text")
    report.write(
        arguments.out,
        corpus,
        tokenizer,
        bundled(folders["target"]),
        bundled(folders["draft"]),
        steps=arguments.steps,
        seconds=seconds,
    )
    say(f"pair written to {arguments.out}")


def say(line: str) -> None:
    """Progress on standard output."""
    clock = datetime.datetime.now(tz=datetime.UTC).strftime("%H:%M:%S")
    print(f"{clock}  {line}", flush=True)  # noqa: T201 - this module is a command


if __name__ == "__main__":
    main()
