"""Engine `replay`: answers from a records file, to hold any recorded arm against another.

Decodes nothing and needs no model. It answers only what was asked then: another prompt or another
sampling under the same key is refused, as an answer to it was never recorded.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import msgspec
from msgspec import Struct

from equivcheck.core.engine import Capabilities
from equivcheck.core.errors import EngineError, unknown_name
from equivcheck.core.generation import Generation, Request
from equivcheck.core.settings import EngineSetup
from equivcheck.engines.registry import decode_options
from equivcheck.records.records import CANDIDATE
from equivcheck.records.sample_keys import drawn_request, parse_draw


class ReplayOptions(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What can follow ``replay:``."""

    file: str
    """A records file, or the folder that holds it."""
    arm: str = CANDIDATE
    """Whose answers: target, candidate, control, ...; or whose draws: sampled."""


def open_engine(options: Mapping[str, str], setup: EngineSetup) -> ReplayEngine:
    """Read the file and open the engine.

    Raises:
        SettingsError: an option is unknown, or no file is named.
        RecordsError: there is no such file, or it cannot be read.
        EngineError: the run has no such arm, or was made with another pair.
    """
    return ReplayEngine(decode_options("replay", options, ReplayOptions), setup)


class ReplayEngine:
    """A recorded arm under the engine protocol."""

    def __init__(self, options: ReplayOptions, setup: EngineSetup) -> None:
        """Read the run and pick the arm."""
        from equivcheck.records.records_file import read_evidence

        evidence = read_evidence(options.file, scores=False)
        self.options, self.header = options, evidence.header
        if options.arm not in self.header.arms:
            wrong = unknown_name("arm", options.arm, self.header.arms)
            raise EngineError(f"replay: {options.file}: {wrong}")
        recorded = self.header.settings.setup.pair
        if recorded != setup.pair:
            raise EngineError(
                f"replay: {options.file} was recorded with pair {recorded!r}, not {setup.pair!r}"
            )
        self.asked = {key: asked.request for key, asked in evidence.asked.items()}
        self.answers = {}
        for key, captured in evidence.answers(options.arm).items():
            self.answers[key] = captured.generation
            if captured.prompt_ids is not None:
                own = msgspec.structs.replace(self.asked[key], prompt_ids=captured.prompt_ids)
                self.asked[key] = own
        for key, generation in evidence.draws.get(options.arm, {}).items():
            case, number = parse_draw(key)
            self.answers[key] = generation
            self.asked[key] = drawn_request(
                self.asked[case], round=number, seed=self.header.draw_seed, arm=options.arm
            )

    @property
    def capabilities(self) -> Capabilities:
        """What the recorded engine was."""
        recorded = self.header.arms[self.options.arm]
        return msgspec.structs.replace(
            recorded,
            engine=f"replay:file={self.options.file},arm={self.options.arm}",
            serves=False,
            recorded=recorded.recorded or recorded.engine,
            notes=(f"recorded from {recorded.engine} in run {self.header.run}", *recorded.notes),
        )

    def generate(self, requests: Sequence[Request]) -> Iterator[Generation]:
        for request in requests:
            self.check(request)
            yield self.answers[request.key]

    def close(self) -> None:
        self.answers.clear()

    def check(self, request: Request) -> None:
        """Refuse what was not recorded.

        Raises:
            EngineError: the key has no answer, or was asked differently; names the first field.
        """
        where = f"replay: {self.options.file}: {self.options.arm}"
        if request.key not in self.answers:
            raise EngineError(f"{where} has no answer for {request.key!r}")
        recorded = self.asked[request.key]
        for field in request.__struct_fields__:
            if field == "seed" and request.sampling.greedy:
                continue
            if getattr(request, field) != getattr(recorded, field):
                raise EngineError(f"{where} was asked {request.key!r} with another {field}")
