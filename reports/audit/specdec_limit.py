"""specdec 0.2.0: `spec_gen` passes its limit and goes past the end of text.

Needs torch, transformers and the package: `python specdec_limit.py`. Draft and target are one fixed
table over six words, in which word 5 is the end of text and follows word 4 always. The control is
the same loop with each block cut, which a caller of `spec_gen` cannot do.
"""

import sys
from types import SimpleNamespace

import torch
from specdec import SpecDecoder

WORDS, END, LIMIT, GAMMA = 6, 5, 9, 3
torch.manual_seed(0)
TABLE = torch.zeros(WORDS, WORDS)
TABLE[4] = torch.tensor([-99.0] * END + [99.0])


class Ids:
    """In the place of the package's tokenizer: ids are passed as they are."""

    eos_token_id = END

    def encode(self, prompt, **_):
        """[1, words]."""
        return torch.tensor([prompt])

    def decode(self, ids, **_):
        """As a list."""
        return ids.tolist()


def model(ids, **_):
    return SimpleNamespace(logits=TABLE[ids])


def asked(prompt, cut):
    decoder = SpecDecoder.__new__(SpecDecoder)
    decoder.small_model, decoder.big_model = model, model
    decoder.tokenizer, decoder.device = Ids(), "cpu"
    words = decoder.spec_gen(prompt, LIMIT, GAMMA)[len(prompt) :]
    if cut:
        words = words[:LIMIT]
        words = words[: words.index(END) + 1] if END in words else words
    return words


bad = 0
for name, cut in (("control", True), ("spec_gen", False)):
    outputs = [asked([0, first], cut) for first in range(END) for _ in range(20)]
    longer = sum(len(words) > LIMIT for words in outputs)
    past = sum(END in words[:-1] for words in outputs)
    print(f"{name}: {longer} of {len(outputs)} outputs have more than {LIMIT} words,", end=" ")
    print(f"{past} go on after the end of text", "WRONG" * (longer + past > 0))
    bad += longer + past > 0
sys.exit(bad > 0)
