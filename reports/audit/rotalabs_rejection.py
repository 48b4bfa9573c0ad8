"""rotalabs-accel 1.1.1: `rejection_sample` does not keep the target's distribution, and
`speculative_decode` raises before it draws a token.

Needs torch, transformers and the package: `python rotalabs_rejection.py [draws]`. One token with a
known target distribution p and draft distribution q is drawn many times: a draft from q, then the
package's rule. The control is the same loop with the residual max(p - q, 0) of all words, where the
package takes off q at the drafted word alone.
"""

import inspect
import sys

import torch
from rotalabs_accel.speculative import core
from rotalabs_accel.speculative.sampling import rejection_sample, sample_from_logits

DRAWS = int(sys.argv[1]) if len(sys.argv) > 1 else 20000
torch.manual_seed(0)
LOGITS = torch.tensor([1.0, 0.5, 0.0, -0.5])
p = torch.softmax(LOGITS, -1)
q = torch.tensor([0.10, 0.20, 0.30, 0.40])


def sound(p_d, q_d, draft, logits):
    if torch.rand(()) * q_d < p_d:
        return True, draft
    return False, torch.multinomial((p - q).clamp(min=0), 1)


def predicted():
    """The output's distribution under the package's rule, by hand."""
    accept = torch.minimum(torch.ones(4), p / q)
    out = q * accept
    for draft in range(4):
        rest = p.clone()
        rest[draft] = max(float(p[draft] - q[draft]), 0.0)
        out = out + q[draft] * (1 - accept[draft]) * rest / rest.sum()
    return out


print("wanted             ", [round(float(each), 4) for each in p])
print("package, by formula", [round(float(each), 4) for each in predicted()])
bad = 0
for name, rule in (("control", sound), ("rejection_sample", rejection_sample)):
    counts = torch.zeros(4)
    for _ in range(DRAWS):
        draft = torch.multinomial(q, 1)[0]
        _, token = rule(p[draft], q[draft], draft, LOGITS)
        counts[token] += 1
    # Pearson's statistic with 3 degrees of freedom: above 28 at most 4 in a million sound runs.
    chi = float(((counts - DRAWS * p) ** 2 / (DRAWS * p)).sum())
    bad += chi > 28
    shares = [round(float(each), 4) for each in counts / DRAWS]
    print(f"{name:19}", shares, f"chi-square {chi:.1f}", "WRONG" * (chi > 28))
try:
    core.sample_from_logits(LOGITS[None], 1.0, 0.9, use_sampling=True)
except TypeError as error:
    bad += 1
    print("as `draft_tokens` calls it:", error)
    print("its parameters:", inspect.signature(sample_from_logits))
sys.exit(bad > 0)
