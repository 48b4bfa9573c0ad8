"""The catalogue of seeded faults: public bugs re-created on the native decoder.

A detector that has never caught anything proves nothing. Each fault overrides one seam of
`Decoder`; the decoder itself holds no fault code.
"""

from __future__ import annotations

from equivcheck.errors import SettingsError, unknown_name
from equivcheck.faults import batching, contract, output, verification
from equivcheck.faults.fault import Fault

CATALOGUE = (
    Fault(
        id="skip-first-check",
        summary="the first draft of a step is committed without being verified",
        recreates="lattice #243",
        breaks="losslessness",
        caught_by="greedy",
        decoder=verification.SkipsFirstCheck,
    ),
    Fault(
        id="row-off-by-one",
        summary="a draft is verified against the logits of the next slot",
        recreates="TensorRT-LLM #15098",
        breaks="losslessness",
        caught_by="greedy",
        decoder=verification.ReadsNextRow,
    ),
    Fault(
        id="verify-greedy",
        summary="verified tokens are argmaxes whatever the temperature",
        recreates="sglang #31214",
        breaks="losslessness",
        caught_by="coupled",
        decoder=verification.VerifiesGreedily,
    ),
    Fault(
        id="penalty-once-per-step",
        summary="penalties inside a verify window only know the tokens before it",
        recreates="sglang #33643",
        breaks="losslessness",
        caught_by="logprobs",
        decoder=verification.PenalisesOncePerStep,
    ),
    Fault(
        id="position-after-reject",
        summary="after a rejection the cache pointer is one position too far back",
        recreates="transformers #30042",
        breaks="losslessness",
        caught_by="greedy",
        decoder=verification.ForgetsToRollBack,
    ),
    Fault(
        id="eos-mid-block",
        summary="only the last token of an accepted block is looked at for a stop",
        recreates="transformers #47912",
        breaks="interface",
        caught_by="stopping",
        decoder=output.StopsAtBlockEnds,
    ),
    Fault(
        id="budget-overrun",
        summary="the token limit is checked after the whole block was emitted",
        recreates="lattice #242",
        breaks="interface",
        caught_by="stopping",
        decoder=output.OverrunsBudget,
    ),
    Fault(
        id="logprob-zero",
        summary="every token is reported with log-probability 0",
        recreates="vLLM #17876",
        breaks="interface",
        caught_by="logprobs",
        decoder=output.ReportsCertainty,
    ),
    Fault(
        id="drafts-overcounted",
        summary="each step reports one draft token too many",
        recreates="tokenspeed #1443",
        breaks="measurement",
        caught_by="counters",
        decoder=output.OvercountsDrafts,
    ),
    Fault(
        id="counts-leak",
        summary="a request's penalties start from the counts of the row's last request",
        recreates="vLLM #30122",
        breaks="losslessness",
        caught_by="greedy",
        decoder=batching.LeaksCounts,
    ),
    Fault(
        id="stream-by-row",
        summary="a request's random stream depends on the row it sits in",
        recreates="TensorRT-LLM #17599",
        breaks="losslessness",
        caught_by="coupled",
        decoder=batching.SeedsByRow,
    ),
    Fault(
        id="stale-draft-cache",
        summary="the draft model's cache is blank at the start of every step",
        recreates="sglang #19897",
        breaks="speed",
        caught_by="acceptance",
        decoder=contract.ForgetsDraftCache,
    ),
    Fault(
        id="never-drafts",
        summary="the drafter is loaded but never asked",
        recreates="mlx-lm #1297",
        breaks="speed",
        caught_by="engaged",
        decoder=contract.NeverDrafts,
    ),
    Fault(
        id="ulp-noise",
        summary="a control: verified logits are off by one unit in the last place",
        recreates="vLLM #54506",
        breaks="losslessness",
        caught_by="greedy",
        decoder=contract.AddsUlpNoise,
    ),
)


def find(fault_id: str) -> Fault:
    """Look a fault up.

    Raises:
        SettingsError: there is none of that name.
    """
    for fault in CATALOGUE:
        if fault.id == fault_id:
            return fault
    raise SettingsError(unknown_name("fault", fault_id, [fault.id for fault in CATALOGUE]))
