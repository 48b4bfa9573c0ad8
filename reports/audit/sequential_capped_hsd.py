"""Capped HSD of sequential-speculative-decoding 0.1.1 does not keep the target's distribution.

Needs torch and the package, nothing else: `python sequential_capped_hsd.py [draws]`. Two models
over six words, whose next word hangs on the last one alone, so that the first word of an output has
a known distribution. Each of the package's three steps is asked for it many times. Its standard
step is the control.
"""

import sys
from types import SimpleNamespace

import torch
from seqspecdecod.capped_hsd import capped_hsd_step
from seqspecdecod.naive_hsd import naive_hsd_step
from seqspecdecod.standard_sd import standard_speculative_step

WORDS, GAMMA = 6, 3
DRAWS = int(sys.argv[1]) if len(sys.argv) > 1 else 4000
torch.manual_seed(0)
TARGET, DRAFT = (torch.randn(WORDS, WORDS) * 1.5 for _ in range(2))
WANTED = torch.softmax(TARGET[0], -1)
ids = torch.zeros(1, 1, dtype=torch.long)


def model(logits):
    return lambda ids: SimpleNamespace(logits=logits[ids])


print("wanted           ", [round(float(p), 3) for p in WANTED])
print("draft            ", [round(float(p), 3) for p in torch.softmax(DRAFT[0], -1)])
bad = 0
for step in (standard_speculative_step, naive_hsd_step, capped_hsd_step):
    counts, raised = torch.zeros(WORDS), 0
    for _ in range(DRAWS):
        try:
            given, _, _ = step(
                model(DRAFT),
                model(TARGET),
                ids,
                gamma=GAMMA,
                draft_temperature=1.0,
                target_temperature=1.0,
            )
        except RuntimeError:
            raised += 1
            continue
        counts[given[0, 1]] += 1
    drawn = counts.sum()
    # Pearson's statistic with 5 degrees of freedom: above 33 at most 4 in a million sound runs.
    chi = float(((counts - drawn * WANTED) ** 2 / (drawn * WANTED)).sum())
    wrong = chi > 33 or raised > 0
    bad += wrong
    shares = [round(float(each), 3) for each in counts / drawn]
    print(f"{step.__name__:26}", shares, f"chi-square {chi:.1f}, raised {raised}", "WRONG" * wrong)
sys.exit(bad > 0)
