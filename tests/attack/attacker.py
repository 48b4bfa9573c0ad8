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
from tests.attack.wild import WILD

WAYS: dict[str, Callable[[Generation], Generation]] = {
    "drafted": lambda answer: replace(answer, steps=(Step(drafted=10**8, accepted=0, emitted=1),)),
    "emitted": lambda answer: replace(answer, steps=(Step(drafted=1, accepted=0, emitted=10**8),)),
    "negative": lambda answer: replace(answer, steps=(Step(drafted=1, accepted=-2, emitted=1),)),
    "tokens": lambda answer: replace(answer, token_ids=(300,) * 10**7),
    "prompt": lambda answer: replace(answer, prompt_tokens=10**9),
    "nan": lambda answer: replace(answer, total_seconds=math.nan),
    "digits": lambda answer: replace(answer, token_ids=(10**5000,)),
}


ALL: dict[str, Callable[[Generation], object]] = {**WAYS, **WILD}


class AttackerOptions(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    on: bool = False
    drafts: bool = True
    """Whether it says that it speculates."""


class Attacker:
    def __init__(self, options: AttackerOptions, setup: EngineSetup) -> None:
        self.options, self.setup = options, setup

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(
            engine=f"attacker:on={self.options.on}",
            device="cpu",
            dtype=self.setup.dtype,
            num_speculative_tokens=int(self.options.drafts),
            reports_steps=True,
            identity="attacker",
        )

    def generate(self, requests: Sequence[Request]) -> Iterator[Generation]:
        for request in requests:
            given = answer(request, drafts=self.options.drafts)
            force_setattr(request, "max_new_tokens", 1)
            attack = ALL.get(request.key.partition("/")[2]) if self.options.on else None
            yield attack(given) if attack else given  # type: ignore[misc]

    def close(self) -> None:
        """Nothing to free."""


def answer(request: Request, *, drafts: bool = True) -> Generation:
    """The same tokens by every arm, one a step or, where drafts are taken, two and one in turn."""
    asked = request.max_new_tokens
    plain = (Step(drafted=0, accepted=0, emitted=1),) * asked
    pair = (Step(drafted=1, accepted=1, emitted=2), Step(drafted=1, accepted=0, emitted=1))
    whole, rest = divmod(asked, 3)
    drafted = pair * whole + (Step(drafted=1, accepted=0, emitted=1),) * rest
    return Generation(
        key=request.key,
        token_ids=tuple(range(300, 300 + asked)),
        finish_reason="length",
        prompt_tokens=len(request.prompt_ids),
        steps=drafted if drafts else plain,
    )


def open_engine(options: Mapping[str, str], setup: EngineSetup) -> Attacker:
    return Attacker(decode_options("attacker", options, AttackerOptions), setup)
