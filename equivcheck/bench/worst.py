"""The worst case: a draft that is never right, as an engine of its own.

What an adaptive gamma is for is to bound what such a draft costs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor

from equivcheck.bench.arms import WORST
from equivcheck.core.errors import SettingsError
from equivcheck.core.settings import EngineSetup
from equivcheck.decoding.drafters import Drafter, Text
from equivcheck.decoding.graphs import Recorder
from equivcheck.decoding.model import StaticModel
from equivcheck.decoding.prefill import Span
from equivcheck.decoding.rows import Rows
from equivcheck.decoding.verification import Proposal, VerificationRule
from equivcheck.engines.native import NativeEngine
from equivcheck.engines.native_options import NativeOptions
from equivcheck.engines.registry import decode_options


def open_engine(options: Mapping[str, str], setup: EngineSetup) -> NativeEngine:
    """The native engine, with its drafts made wrong.

    Raises:
        SettingsError: an option is wrong, or nothing is drafted.
        PairError: the pair cannot be loaded or run.
    """
    return WorstCaseEngine(decode_options(WORST, options, NativeOptions), setup)


class WorstCaseEngine(NativeEngine):
    """The native engine with a `WorstCaseDrafter`."""

    def drafter_for(self, model: StaticModel) -> Drafter:
        drafter = super().drafter_for(model)
        if drafter is None:
            raise SettingsError(f"{WORST}: gamma=0 drafts nothing that could be wrong")
        return WorstCaseDrafter(drafter, vocab=model.architecture.vocab)


class WorstCaseDrafter(Drafter):
    """Drafts at the full cost of another drafter, and proposes other tokens than that one.

    Half the vocabulary away from the draft's choice. Nothing rules out that the target says just
    that; the measured acceptance tells.
    """

    def __init__(self, drafter: Drafter, *, vocab: int) -> None:
        self.drafter, self.vocab = drafter, vocab
        self.keeps, self.waits, self.stateful = drafter.keeps, drafter.waits, drafter.stateful

    @property
    def recorders(self) -> tuple[Recorder, ...]:
        return self.drafter.recorders

    def read(self, rows: Rows, spans: Sequence[Span]) -> None:
        self.drafter.read(rows, spans)

    def ready(self, rows: Rows, *, longest: int) -> None:
        self.drafter.ready(rows, longest=longest)

    def reset(self) -> None:
        self.drafter.reset()

    def follow(self, texts: Sequence[Text | None]) -> None:
        self.drafter.follow(texts)

    def forecast(self, rows: Rows) -> Tensor | None:
        return self.drafter.forecast(rows)

    def propose(self, rows: Rows, rule: VerificationRule, *, gamma: int, unread: int) -> Proposal:
        """Let it draft, then exchange the tokens."""
        proposal = self.drafter.propose(rows, rule, gamma=gamma, unread=unread)
        return proposal._replace(
            tokens=(proposal.tokens + self.vocab // 2) % self.vocab, log_probs=None
        )
