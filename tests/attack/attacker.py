"""An engine that attacks with its answers: ``attacker:on=true``, one way a case of that name."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence

from msgspec import Struct
from msgspec.structs import force_setattr, replace

from equivcheck.core.engine import Capabilities
from equivcheck.core.generation import Generation, Request, Step
from equivcheck.core.settings import EngineSetup
from equivcheck.engines.registry import decode_options

WAYS: dict[str, Callable[[Generation], Generation]] = {
    "drafted": lambda answer: replace(answer, steps=(Step(drafted=10**8, accepted=0, emitted=1),)),
    "emitted": lambda answer: replace(answer, steps=(Step(drafted=1, accepted=0, emitted=10**8),)),
    "negative": lambda answer: replace(answer, steps=(Step(drafted=1, accepted=-2, emitted=1),)),
    "tokens": lambda answer: replace(answer, token_ids=(300,) * 10**7),
    "prompt": lambda answer: replace(answer, prompt_tokens=10**9),
    "nan": lambda answer: replace(answer, total_seconds=math.nan),
    "digits": lambda answer: replace(answer, token_ids=(10**5000,)),
}


class AttackerOptions(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    on: bool = False


class Attacker:
    def __init__(self, options: AttackerOptions, setup: EngineSetup) -> None:
        self.options, self.setup = options, setup

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(
            engine=f"attacker:on={self.options.on}",
            device="cpu",
            dtype=self.setup.dtype,
            num_speculative_tokens=1,
            reports_steps=True,
            identity="attacker",
        )

    def generate(self, requests: Sequence[Request]) -> Iterator[Generation]:
        for request in requests:
            given = answer(request)
            force_setattr(request, "max_new_tokens", 1)
            attack = WAYS.get(request.key.partition("/")[2]) if self.options.on else None
            yield attack(given) if attack else given

    def close(self) -> None:
        """Nothing to free."""


def answer(request: Request) -> Generation:
    """The same tokens by every arm, one a step."""
    return Generation(
        key=request.key,
        token_ids=tuple(range(300, 300 + request.max_new_tokens)),
        finish_reason="length",
        prompt_tokens=len(request.prompt_ids),
        steps=(Step(drafted=1, accepted=0, emitted=1),) * request.max_new_tokens,
    )


def open_engine(options: Mapping[str, str], setup: EngineSetup) -> Attacker:
    return Attacker(decode_options("attacker", options, AttackerOptions), setup)
