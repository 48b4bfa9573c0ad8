"""Ask OpenVINO GenAI for sampled answers beside a draft model. Needs no equivcheck.

    python openvino_sampled_draft.py TARGET.gguf DRAFT.gguf

The models are the bundled pair with f16 matrices (`equivcheck pairs tiny --gguf FOLDER
--gguf-precision f16`). Exit code 1 while sampled answers end in a failed check, else 0.
"""

import pathlib
import shutil
import sys
import tempfile

import numpy as np
import openvino
import openvino_genai

PROMPTS = [[*range(100 + first, 120 + first)] * 2 for first in range(8)]
EXACT = {"INFERENCE_PRECISION_HINT": "f32", "KV_CACHE_PRECISION": "f32"}


def broken(target, draft, *, sampled):
    """How many prompts end in an error, each asked of a new pipeline; and the last error."""
    count, last = 0, ""
    for prompt in PROMPTS:
        drafter = openvino_genai.draft_model(draft, "CPU", **EXACT)
        pipeline = openvino_genai.LLMPipeline(target, "CPU", draft_model=drafter, **EXACT)
        config = openvino_genai.GenerationConfig()
        config.apply_chat_template = False
        config.max_new_tokens, config.eos_token_id = 20, 0
        config.num_assistant_tokens, config.do_sample = 4, sampled
        if sampled:
            config.temperature, config.rng_seed = 1.0, 1
        ids = np.array([prompt], dtype=np.int64)
        inputs = openvino_genai.TokenizedInputs(
            openvino.Tensor(ids), openvino.Tensor(np.ones_like(ids))
        )
        try:
            pipeline.generate(inputs, config)
        except RuntimeError as error:
            count, last = count + 1, str(error).splitlines()[0]
    return count, last


def main():
    """Ask greedily and at temperature 1, and say what came."""
    target, draft = sys.argv[1:]
    with tempfile.TemporaryDirectory() as folder:
        # Of a GGUF file OpenVINO writes the folder that a draft model has to be.
        beside = shutil.copy(draft, pathlib.Path(folder) / "draft.gguf")
        openvino_genai.LLMPipeline(str(beside), "CPU", enable_save_ov_model=True)
        greedy, _ = broken(target, folder, sampled=False)
        sampled, last = broken(target, folder, sampled=True)
    sys.stdout.write(
        f"of {len(PROMPTS)} prompts break: greedy {greedy}, sampled {sampled}\n{last}\n"
    )
    return 1 if sampled else 0


if __name__ == "__main__":
    sys.exit(main())
