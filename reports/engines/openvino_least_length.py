"""Ask OpenVINO GenAI for at least 40 tokens, with and without prompt lookup. Needs no equivcheck.

    python openvino_least_length.py MODEL.gguf

The model is the bundled pair's target with f16 matrices (`equivcheck pairs tiny --gguf FOLDER
--gguf-precision f16`), for which the prompt below is. Exit code 1 while lookup ends sooner, else 0.
"""

import sys

import numpy as np
import openvino
import openvino_genai

IDS = """
2 203 1366 1461 266 751 297 266 307 93 1788 336 272 312 379 324 345 288 1377 292 278
2044 293 404 16 516 345 313 600 267 264 1502 77 368 225 24 28 337 89 2678 18 225 558 302
552 345 286 1588 313 16 324 844 552 345 2474 1250 278 1176 390 35 203 3 203
"""
PROMPT = [int(token) for token in IDS.split()]
LEAST, MOST, END = 40, 64, 0
EXACT = {"INFERENCE_PRECISION_HINT": "f32", "KV_CACHE_PRECISION": "f32"}


def length(model, *, lookup):
    """Tokens of the greedy answer, the end of text included."""
    more = {"prompt_lookup": True} if lookup else {}
    pipeline = openvino_genai.LLMPipeline(model, "CPU", **EXACT, **more)
    config = openvino_genai.GenerationConfig()
    config.apply_chat_template = False
    config.min_new_tokens, config.max_new_tokens = LEAST, MOST
    config.eos_token_id, config.stop_token_ids = END, {END}
    if lookup:
        config.num_assistant_tokens, config.max_ngram_size = 4, 3
    prompt = np.array([PROMPT], dtype=np.int64)
    inputs = openvino_genai.TokenizedInputs(
        openvino.Tensor(prompt), openvino.Tensor(np.ones_like(prompt))
    )
    return len(pipeline.generate(inputs, config).tokens[0])


def main():
    """Ask twice, and say what came."""
    plain, lookup = (length(sys.argv[1], lookup=each) for each in (False, True))
    sys.stdout.write(f"at least {LEAST}: plain gives {plain} tokens, lookup {lookup}\n")
    return 1 if lookup < LEAST <= plain else 0


if __name__ == "__main__":
    sys.exit(main())
