"""csaq-quant 0.6.0: speculative generation reads the last token of the prompt alone.

Needs torch, transformers and the package: `python csaq_prompt.py`. A small random Llama is rounded
to 8 bits by the package. Two prompts that share nothing but their last token get the same output
where `speculative=True`, and other ones from the package's own plain generation, the control.
"""

import sys

import torch
from csaq import CSAQConfig, CSAQInferenceEngine, quantize
from transformers import LlamaConfig, LlamaForCausalLM

LENGTH = 12
torch.manual_seed(0)
sizes = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "vocab_size": 200}
heads = {"num_attention_heads": 4, "num_key_value_heads": 2, "eos_token_id": None}
model = LlamaForCausalLM(LlamaConfig(**sizes, **heads, tie_word_embeddings=False))
with torch.no_grad():
    for weight in model.parameters():
        weight.mul_(4 if weight.ndim > 1 else 1)
samples = [{"input_ids": torch.randint(0, 200, (1, 32))} for _ in range(4)]
config = CSAQConfig(target_bits=8.0, bit_options=[8], group_size=64)
model, info = quantize(model, samples, config=config, verbose=False)
engine = CSAQInferenceEngine(model.eval(), info["causal_map"], verbose=False)
prompts = torch.randint(0, 200, (2, 1, 10))
prompts[:, :, -1] = 7
outputs = {}
for speculative in (False, True):
    outputs[speculative] = [
        engine.generate(
            prompt, speculative=speculative, lookahead=3, temperature=0.0, max_new_tokens=LENGTH
        )[0][0, 10:].tolist()
        for prompt in prompts
    ]
    for output in outputs[speculative]:
        print("speculative" if speculative else "plain      ", output)
same = outputs[True][0] == outputs[True][1] and outputs[False][0] != outputs[False][1]
layer = next(each for each in model.modules() if hasattr(each, "_csaq_fp16_backup"))
rounded = layer._csaq_quant_stash.to(torch.float16)
print(
    "backup for verification is the rounded weights:", torch.equal(layer._csaq_fp16_backup, rounded)
)
print("other prompts, same output:", same)
sys.exit(same)
