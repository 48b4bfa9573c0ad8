"""divine-mtp 0.1.0: `generate` does not give the base model's greedy tokens.

Needs torch, transformers and the package: `python divine_mtp_greedy.py [folder of a model]`.
Without a folder, a small random Llama is made. The wanted tokens are the argmax of a forward pass
over the whole text, again and again: what plain decoding gives. The heads are random, as a verified
draft may be anything; as the package makes them they repeat the last token, and what is left out of
the verification then does no harm, which is the control.
"""

import builtins
import sys

import torch
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM

# `import divine_mtp` raises NameError before Python 3.14: trainer.py names Tuple unimported.
builtins.Tuple = tuple
from divine_mtp.inference import DivineMtpInferenceEngine  # noqa: E402
from divine_mtp.model import attach_divine_mtp  # noqa: E402

LENGTH = 24
torch.manual_seed(0)
if len(sys.argv) > 1:
    model = AutoModelForCausalLM.from_pretrained(sys.argv[1], dtype=torch.float32)
else:
    config = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2}
    heads = {"num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 200}
    model = LlamaForCausalLM(LlamaConfig(**config, **heads))
    with torch.no_grad():
        for weight in model.parameters():
            weight.mul_(4 if weight.ndim > 1 else 1)
prompt = torch.randint(5, 200, (1, 12))
wanted = prompt
with torch.no_grad():
    for _ in range(LENGTH):
        best = model(wanted).logits[:, -1].argmax(-1, keepdim=True)
        wanted = torch.cat([wanted, best], 1)
wanted = wanted[0, 12:].tolist()
print("wanted      ", wanted)
wrapped, given = attach_divine_mtp(model, num_heads=3, rank=8).eval(), {}
for name in ("as made", "random"):
    if name == "random":
        for head in wrapped.mtp.heads:
            torch.nn.init.normal_(head.proj_up.weight, std=1.0)
    told = DivineMtpInferenceEngine(wrapped).generate(prompt, max_new_tokens=LENGTH)
    given[name] = told.token_ids[12:]
    print(f"heads {name:7}", given[name], "WRONG" * (given[name] != wanted))
sys.exit(given["random"] != wanted)
