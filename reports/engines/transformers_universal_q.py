"""Draw first words by transformers' universal assisted decoding. Needs no equivcheck.

    python transformers_universal_q.py TARGET ASSISTANT [DRAWS]

Two folders whose tokenizers differ: the bundled pair's target, and `foreign` of what
`python -m tests.drafting_checkpoints FOLDER` writes. Compares how often each first token comes with
what the target gives it, as generate() is, and with the logits of the draft put in order. Exit
code 1 while the first is off and the second is not, else 0.
"""

import logging
import sys

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.generation.candidate_generator import AssistantToTargetTranslator

logging.disable(logging.WARNING)
PROMPT = "def main():\n    "
WORDS, LIMIT = 7, 26.1
"""The six likeliest tokens and the rest: 6 degrees of freedom, passed once in 5,000 times."""


def in_order(self, logits):
    """Each logit of the pruned head at the token that its row stands for."""
    numbers = self._assistant_to_target_input_ids[self.assistant_overlap_token_ids]
    found = torch.full((*logits.shape[:-1], self.target_vocab_size), float("-inf"))
    found[..., numbers] = logits
    return found


def chi_square(folders, *, draws):
    """Of first tokens, each behind one draft that was accepted or replaced."""
    target, assistant = (
        AutoModelForCausalLM.from_pretrained(each, dtype=torch.float32) for each in folders
    )
    ours, theirs = (AutoTokenizer.from_pretrained(each) for each in folders)
    ids = ours(PROMPT, return_tensors="pt").input_ids
    with torch.inference_mode():
        p = target(ids).logits[0, -1].softmax(-1)
    best = p.topk(WORDS - 1).indices.tolist()
    expected = torch.cat([p[best], 1.0 - p[best].sum()[None]]) * draws
    seen = torch.zeros(WORDS)
    torch.manual_seed(0)
    for _ in range(draws):
        output = target.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            do_sample=True,
            max_new_tokens=2,
            top_k=0,
            pad_token_id=0,
            assistant_model=assistant,
            tokenizer=ours,
            assistant_tokenizer=theirs,
        )
        first = int(output[0, ids.shape[1]])
        seen[best.index(first) if first in best else WORDS - 1] += 1
    return float(((seen - expected) ** 2 / expected).sum())


def main():
    """Draw twice, and say what came."""
    draws = int(sys.argv[3]) if len(sys.argv) > 3 else 300
    as_it_is = chi_square(sys.argv[1:3], draws=draws)
    AssistantToTargetTranslator.get_target_logits = in_order
    mended = chi_square(sys.argv[1:3], draws=draws)
    sys.stdout.write(
        f"chi-square of {draws} first tokens, 6 degrees of freedom: {as_it_is:.1f} as it is, "
        f"{mended:.1f} with q in order\n"
    )
    return 1 if as_it_is > LIMIT >= mended else 0


if __name__ == "__main__":
    sys.exit(main())
