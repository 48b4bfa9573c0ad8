"""``python -m training.v2``: make `tiny-v2` from `tiny`: target, drafts, heads, report."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, multiprocessing

from training import distil, further, outputs, report_v2, save_heads
from training.__main__ import say
from training.corpus import HELD_OUT_SHARE, Corpus, Document, collect
from training.data import encode
from training.exercises import exercises
from training.further_packages import FURTHER
from training.models import save
from training.packages import WORKLOADS

PAIRS = Path(__file__).parent.parent / "equivcheck" / "pairs"
TINY = PAIRS / "tiny"
CLASSES = (*WORKLOADS, "exercises")
STAGES = ("target", "outputs", "draft", "eagle3", "mtp", "report")
BATCHES = 64
"""Of the target's output."""
ROWS = 30
"""Texts a step of distilling."""
RATE = {"draft": 2e-3, "eagle3": 2e-3, "mtp": 2e-3}
EPOCHS = {"draft": (10,), "eagle3": (3,), "mtp": (1,)}
"""Over the texts, in passes that each have a warm-up and a cool-down of their own."""


def main() -> None:
    """Run the stages; an interrupted run goes on where it stopped."""
    parser = argparse.ArgumentParser(prog="python -m training.v2")
    parser.add_argument("stages", nargs="*", metavar="STAGE", help=", ".join(STAGES))
    parser.add_argument("--cache", type=Path, default=Path("build/pair"), help="working folder")
    parser.add_argument("--out", type=Path, default=PAIRS / "tiny_v2")
    parser.add_argument("--steps", type=int, default=further.STEPS)
    arguments = parser.parse_args()
    work = arguments.cache / "v2"
    work.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    for stage in arguments.stages or STAGES:
        say(stage)
        if stage == "target":
            streams(arguments.cache)
            (work / "meet").unlink(missing_ok=True)
            given = (arguments.cache, arguments.out, arguments.steps)
            spawn(target_stage, given)
        elif stage == "outputs":
            spawn(outputs_stage, (arguments.cache, arguments.out))
        elif stage == "report":
            report_v2.write(
                arguments.out, corpus(arguments.cache), before=TINY, steps=arguments.steps
            )
        else:
            distil_stage(stage, arguments.cache, arguments.out)


def spawn(stage: Callable[..., None], given: tuple[Any, ...]) -> None:
    """Run a stage in as many processes as training has."""
    processes: Any = multiprocessing
    processes.spawn(stage, args=given, nprocs=further.RANKS)


def streams(cache: Path) -> dict[str, Tensor]:
    """Ids of the training text by class, kept in a file for the processes and later stages."""
    kept = cache / "v2" / "streams.safetensors"
    if not kept.exists():
        ids = encode(corpus(cache).training, tokenizer_of(TINY), classes=CLASSES)
        save_file(ids, kept)
        say("tokens: " + ", ".join(f"{name} {len(stream):,}" for name, stream in ids.items()))
    by_name = load_file(kept)
    return {name: by_name[name] for name in CLASSES}


def corpus(cache: Path) -> Corpus:
    """The text of `tiny`, further packages and the exercises; held out as for `tiny`, and more."""
    first, further_text = collect(cache / "packages"), collect(cache / "packages", extracts=FURTHER)
    written = [Document("exercises", "exercises", text) for text in exercises()]
    held_out = [text for place, text in enumerate(written) if place % HELD_OUT_SHARE == 0]
    training = [text for place, text in enumerate(written) if place % HELD_OUT_SHARE]
    return Corpus(
        training=(*first.training, *further_text.training, *training),
        held_out=(*first.held_out, *further_text.held_out, *held_out),
    )


def tokenizer_of(folder: Path) -> Any:
    """Of a pair's target."""
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder / "target")


def model_of(folder: Path) -> Any:
    """Of a pair's folder for one role, in fp32."""
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)


def target_stage(rank: int, cache: Path, out: Path, steps: int) -> None:
    """Train the target on, as one of the processes; the first of them writes it."""
    torch.set_num_threads(1)
    model = model_of(TINY / "target")
    further.train(
        model,
        streams(cache),
        rank=rank,
        steps=steps,
        folder=(cache / "v2").resolve(),
        report=say if rank == 0 else lambda _line: None,
    )
    if rank == 0:
        tokenizer_of(TINY).save_pretrained(out / "target")
        save(model, out / "target")


def outputs_stage(rank: int, cache: Path, out: Path) -> None:
    """Write every second batch of the target's output."""
    torch.set_num_threads(1)
    texts(cache, out, numbers=range(rank, BATCHES, further.RANKS))


def texts(cache: Path, out: Path, *, numbers: range = range(BATCHES)) -> list[tuple[Tensor, int]]:
    """The target's output, written where it is not there yet."""
    tokenizer = tokenizer_of(TINY)
    user, assistant = tokenizer.convert_tokens_to_ids(["<|user|>", "<|assistant|>"])
    (newline,) = tokenizer("\n", add_special_tokens=False)["input_ids"]
    return outputs.outputs(
        model_of(out / "target").eval(),
        streams(cache),
        numbers=numbers,
        folder=cache / "v2" / "outputs",
        marks={"user": user, "assistant": assistant, "newline": newline},
    )


def distil_stage(role: str, cache: Path, out: Path) -> None:
    """Train one drafter on the target's output, and write it."""
    target, given = model_of(out / "target").eval(), texts(cache, out)
    embedding = target.lm_head.weight.detach()
    model: Any
    if role == "draft":
        model = model_of(TINY / "draft")
    elif role == "eagle3":
        model = distil.new_eagle(target, given)
    else:
        model = distil.new_mtp(target)
    losses: dict[str, distil.Loss] = {
        "draft": lambda taught: distil.draft_loss(model, taught),
        "eagle3": lambda taught: distil.eagle_loss(model, embedding, taught),
        "mtp": lambda taught: distil.mtp_loss(model, embedding, taught),
    }
    for number, epochs in enumerate(EPOCHS[role]):
        distil.distil(
            model,
            losses[role],
            target,
            given,
            rate=RATE[role],
            epochs=epochs,
            rows=ROWS,
            end=target.config.eos_token_id,
            file=cache / "v2" / f"{role}-{number}.safetensors",
            report=say,
        )
    if role == "draft":
        tokenizer_of(TINY).save_pretrained(out / "draft")
        save(model, out / "draft")
    elif role == "eagle3":
        save_heads.save_eagle(model, out / role, target=target)
    else:
        save_heads.save_mtp(model, out / role, target=target)


if __name__ == "__main__":
    main()
