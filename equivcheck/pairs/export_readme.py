"""The README of an exported pair: what each folder is, and how its engine is told to load it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

COMMANDS = {
    ("vllm", "draft"): """\
vllm serve target --speculative-config \\
  '{"method": "draft_model", "model": "draft", "num_speculative_tokens": 4}'""",
    ("vllm", "eagle3"): """\
vllm serve target --speculative-config \\
  '{"method": "eagle3", "model": "eagle3", "num_speculative_tokens": 4}'""",
    ("vllm", "mtp"): """\
vllm serve target_mtp --speculative-config '{"method": "mtp", "num_speculative_tokens": 1}'""",
    ("sglang", "draft"): """\
python -m sglang.launch_server --model-path target --speculative-algorithm STANDALONE \\
  --speculative-draft-model-path draft --speculative-num-steps 4 --speculative-eagle-topk 1 \\
  --speculative-num-draft-tokens 5""",
    ("sglang", "eagle3"): """\
python -m sglang.launch_server --model-path target --speculative-algorithm EAGLE3 \\
  --speculative-draft-model-path eagle3 --speculative-num-steps 4 --speculative-eagle-topk 1 \\
  --speculative-num-draft-tokens 5""",
    ("hf", "draft"): """\
model.generate(**inputs, assistant_model=draft)  # both by AutoModelForCausalLM.from_pretrained""",
    ("gguf", "draft"): "llama-server -m target.gguf -md draft.gguf --draft-max 4",
}
"""How a drafter is switched on, by layout and role."""

NOTES = {
    ("vllm", "mtp"): (
        "The target as a MiMo model (Qwen2 whose biases are zero), since vLLM reads an MTP head "
        "from its target's own checkpoint. It runs the first depth only."
    ),
    ("sglang", "eagle3"): "Layers are named as SGLang counts them: one less than for vLLM.",
    ("hf", "eagle3"): "transformers runs no such head; the files are as the recipe wrote them.",
    ("hf", "mtp"): "transformers runs no such head; the files are as the recipe wrote them.",
}

NAMES = {
    "target": "Target",
    "draft": "Draft model",
    "eagle3": "EAGLE-3 head",
    "mtp": "MTP head",
}


def readme(
    spec: str, written: Mapping[str, Path], *, layout: str, drafts: Mapping[str, Any]
) -> str:
    """Markdown of one exported pair.

    Args:
        spec: of the pair, as it was exported.
        written: role to folder or file.
        layout: the engine's.
        drafts: facts to name, as ``draft vocabulary``.
    """
    lines = [
        f"# The pair {spec}, as {layout} loads it",
        "",
        "Written by `equivcheck pairs export`. For tests of engines: a target and what drafts for",
        "it in a few megabytes, trained, so that drafts are kept and rejected as in earnest, and a",
        "test of speculative decoding needs no download of gigabytes and no GPU. What it writes",
        "means little: it is too small for that.",
        "",
    ]
    for role, path in written.items():
        lines += [f"## {NAMES[role]}: `{path.name}`", ""]
        if note := NOTES.get((layout, role)):
            lines += [note, ""]
        if role == "eagle3" and "draft vocabulary" in drafts:
            lines += [
                f"Drafts {drafts['draft vocabulary']:,} of the target's tokens (`d2t`, `t2d`); its "
                "embedding is the target's.",
                "",
            ]
        if command := COMMANDS.get((layout, role)):
            lines += ["```sh", command, "```", ""]
    return "\n".join(lines)
