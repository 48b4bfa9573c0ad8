"""Draw from vLLM with and without drafts, and compare surprisal with entropy. Needs no equivcheck.

    python vllm_sampled_drafts.py MODEL_FOLDER [ngram | none] [PROMPTS]

Under a decoder that samples from the model's distribution, the surprisal of its tokens and the
entropy of the distributions they were drawn from have one mean, so that the standardised sum of
their differences is near N(0, 1). What goes wrong is a value read from memory that nobody wrote, so
the score differs from run to run; therefore the function that reads it is called by itself, too.
Exit code 1 where the score lies beyond 6 (error below 1e-8) or the function is wrong, else 0.
"""

import math
import os
import sys

os.environ.setdefault("VLLM_LOGGING_LEVEL", "WARNING")
os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "1")
os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")

TEXTS = (
    "def fibonacci(n):\n",
    "Write a haiku about rain.",
    "SELECT name FROM users WHERE",
    "Once upon a time",
    "Tell me about Paris.",
    "class Stack:\n    def",
)
LIMIT = 6.0
CALLS = 100


def main() -> int:
    """Draw, score, and say what came of it."""
    folder = sys.argv[1]
    method = sys.argv[2] if len(sys.argv) > 2 else "ngram"
    prompts = int(sys.argv[3]) if len(sys.argv) > 3 else 96
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from vllm import LLM, SamplingParams

    tokenizer = AutoTokenizer.from_pretrained(folder)
    texts = [TEXTS[number % len(TEXTS)] for number in range(prompts)]
    asked = [
        tokenizer(
            tokenizer.apply_chat_template([{"role": "user", "content": text}], tokenize=False)
        )
        for text in texts
    ]
    ids = [each["input_ids"] for each in asked]
    drafts = {"method": "ngram", "num_speculative_tokens": 4, "prompt_lookup_max": 3}
    engine = LLM(
        model=folder,
        dtype="float32",
        max_model_len=512,
        max_num_seqs=8,
        enforce_eager=True,
        generation_config="vllm",
        speculative_config=drafts if method == "ngram" else None,
    )
    heat = [(0.7, 1.0, 1.3)[number // len(TEXTS) % 3] for number in range(prompts)]
    asked = [
        SamplingParams(temperature=each, max_tokens=32, seed=seed) for seed, each in enumerate(heat)
    ]
    outputs = engine.generate([{"prompt_token_ids": each} for each in ids], asked, use_tqdm=False)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    excess, variance, tokens = 0.0, 0.0, 0
    with torch.inference_mode():
        for prompt, temperature, output in zip(ids, heat, outputs, strict=True):
            drawn = list(output.outputs[0].token_ids)
            logits = model(torch.tensor([prompt + drawn])).logits[0, len(prompt) - 1 : -1]
            logp = torch.log_softmax(logits.double() / temperature, dim=-1)
            entropy = -(logp.exp() * logp).sum(-1)
            surprisal = -logp[torch.arange(len(drawn)), torch.tensor(drawn)]
            excess += float((surprisal - entropy).sum())
            variance += float(((logp.exp() * logp**2).sum(-1) - entropy**2).sum())
            tokens += len(drawn)
    score = excess / math.sqrt(variance)
    mean = excess / tokens
    sys.stdout.write(
        f"{method}: {tokens} tokens, surprisal - entropy {mean:+.4f} nats, z {score:+.2f}\n"
    )
    wrong = misread() if method == "ngram" else 0
    sys.stdout.write(f"expand_batch_to_tokens: {wrong} of {CALLS} results wrong\n")
    return 1 if abs(score) > LIMIT or wrong else 0


def misread():
    """How often vLLM repeats temperatures over draft tokens wrongly."""
    import torch
    from vllm.v1.sample.rejection_sampler import expand_batch_to_tokens

    values, ends = torch.tensor([0.5, 0.7, 1.25]), torch.tensor([2, 5, 6], dtype=torch.int32)
    expected = [0.5, 0.5, 0.7, 0.7, 0.7, 1.25]
    wrong = 0
    for _ in range(CALLS):
        # What was freed last is what the next uninitialised tensor of that size is made of.
        torch.full((6,), 7.0)
        found = expand_batch_to_tokens(values, ends, 6)
        wrong += not torch.allclose(found, torch.tensor(expected))
    return wrong


if __name__ == "__main__":
    sys.exit(main())
