"""onnxruntime-genai 0.18.0: without `top_k`, sampled tokens pass `top_p`, with and without drafts.

Needs numpy and the package: `python ort_genai_top_p.py FOLDER [draws]`, FOLDER as its builder
exports a model. The first token behind a prompt is drawn many times, and compared with the logits
that the generator tells. The control names a `top_k` as large as the vocabulary.
"""

import sys

import numpy as np
import onnxruntime_genai

FOLDER, DRAWS = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 400
TOP_P, PROMPT = 0.5, np.arange(10, 60, dtype=np.int32)[None]
model = onnxruntime_genai.Model(FOLDER)


def drawn(top_k, seed):
    """The probability before a drawn token, tokens in falling order, and the vocabulary's size."""
    given = onnxruntime_genai.GeneratorParams(model)
    given.set_search_options(
        max_length=64, do_sample=True, top_k=top_k, top_p=TOP_P, temperature=1.0, random_seed=seed
    )
    generator = onnxruntime_genai.Generator(model, given)
    generator.append_tokens(PROMPT)
    logits = np.asarray(generator.get_logits(), dtype=np.float64).reshape(-1)
    generator.generate_next_token()
    token = int(generator.get_next_tokens()[0])
    probs = np.exp(logits - logits.max())
    probs /= probs.sum()
    return probs[probs > probs[token]].sum(), len(probs)


size = drawn(0, 0)[1]
bad = 0
for name, top_k in (("control", size), ("top_k=0", 0)):
    # A token whose better ones have top_p together is cut; float32 is off by far less.
    outside = int(sum(drawn(top_k, seed)[0] > TOP_P + 1e-4 for seed in range(DRAWS)))
    print(f"{name}: {outside} of {DRAWS} tokens lie beyond top_p={TOP_P}", "WRONG" * (outside > 0))
    bad += outside > 0
sys.exit(bad > 0)
