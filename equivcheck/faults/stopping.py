"""F11: a request ends in the wrong place, or says something else than why it ended."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from equivcheck.core.generation import FinishReason, Request
from equivcheck.decoding.decoder import Decoder
from equivcheck.decoding.prefill import chunk_on
from equivcheck.decoding.stopping import StopRules
from equivcheck.decoding.verification import Verified
from equivcheck.faults.fault import fault


class OtherRules(Decoder):
    """Base: stops requests by rules of its own."""

    rules: type[StopRules] = StopRules

    def stops(self, request: Request) -> StopRules:
        return self.rules(request, eos_token_ids=self.eos_token_ids, detokenise=self.detokenise)


class BlockEndRules(StopRules):
    """Looks at the last token of each block only."""

    def take(self, block: Sequence[int]) -> FinishReason | None:
        """Append as much as the limit allows, then look."""
        room = self.request.max_new_tokens - len(self.output)
        self.output.extend(block[:room])
        return self.finished()


class WholeBlockRules(StopRules):
    """Notices a stop in its place, but has the whole block out by then."""

    def take(self, block: Sequence[int]) -> FinishReason | None:
        """Append what is left of the block behind the token that ends it."""
        before = len(self.output)
        reason = super().take(block)
        if reason in ("eos", "stop"):
            room = self.request.max_new_tokens - len(self.output)
            self.output.extend(block[len(self.output) - before :][:room])
        return reason


class LateLimitRules(StopRules):
    """Checks the token limit once the block is out."""

    def take(self, block: Sequence[int]) -> FinishReason | None:
        """Append the whole block, then look at the limit."""
        limit = self.request.max_new_tokens
        for token in block:
            self.output.append(token)
            if (reason := self.finished()) and reason != "length":
                return reason
        return "length" if len(self.output) >= limit else None


class LimitFirstRules(StopRules):
    """Asks for the length before it looks for a stop."""

    def finished(self) -> FinishReason | None:
        """Say length wherever the limit is reached."""
        reason = super().finished()
        return "length" if len(self.output) >= self.request.max_new_tokens else reason


class BlockTextRules(StopRules):
    """Looks for stop strings once a block, in a short piece of text at its end."""

    def take(self, block: Sequence[int]) -> FinishReason | None:
        """Note where the block ends."""
        self.block_end = len(self.output) + len(block)
        return super().take(block)

    def completes_stop_string(self) -> bool:
        """Search as many characters as the longest stop string has, and one more."""
        if not self.request.stop or len(self.output) < self.block_end:
            return False
        longest = max(map(len, self.request.stop))
        text = self.detokenise(self.output)[-longest - 1 :]
        return any(stop in text for stop in self.request.stop)


class TokenEndRules(StopRules):
    """Takes a stop string for complete only where a token ends with it."""

    def completes_stop_string(self) -> bool:
        """Look at the end of the text."""
        return self.detokenise(self.output).endswith(self.request.stop)


class OneTokenRules(StopRules):
    """Searches the text of each token by itself."""

    def completes_stop_string(self) -> bool:
        """Search the last token's text."""
        text = self.detokenise(self.output[-1:])
        return any(stop in text for stop in self.request.stop)


class TextlessRules(StopRules):
    """Knows no stop strings."""

    def completes_stop_string(self) -> bool:
        return False


@fault(
    "eos-mid-block",
    family="F11",
    recreates="transformers #47912",
    breaks="interface",
    caught_by="stopping",
)
class StopsAtBlockEnds(OtherRules):
    """Only the last token of an accepted block is looked at for a stop."""

    rules = BlockEndRules


@fault(
    "block-after-eos",
    family="F11",
    recreates="koboldcpp #1276",
    breaks="interface",
    caught_by="stopping",
)
class EmitsWholeBlock(OtherRules):
    """Drafts that were accepted behind the end of the text are emitted."""

    rules = WholeBlockRules


@fault(
    "budget-overrun",
    family="F11",
    recreates="lattice #242",
    breaks="interface",
    caught_by="stopping",
    schedules=("budgets",),
)
class OverrunsBudget(OtherRules):
    """The token limit is checked after the whole block was emitted."""

    rules = LateLimitRules

    def admit(self, row: int, request: Request) -> None:
        """Let the row draft past its limit."""
        super().admit(row, request)
        self.rows.remaining[row] += self.width


@fault(
    "length-before-stop",
    family="F11",
    recreates="sglang #31599",
    breaks="interface",
    caught_by="stopping",
)
class ChecksLengthFirst(OtherRules):
    """A stop at the token limit is reported as the limit."""

    rules = LimitFirstRules


@fault(
    "stop-string-window",
    family="F11",
    recreates="sglang #23802",
    breaks="interface",
    caught_by="stopping",
)
class SearchesBlockEnds(OtherRules):
    """Stop strings are searched once a block, in a window too short for the block."""

    rules = BlockTextRules


@fault(
    "stop-string-at-token-end",
    family="F11",
    recreates="vLLM #3572",
    breaks="interface",
    caught_by="stopping",
    schedules=("strings",),
)
class StopsAtTokenEnds(OtherRules):
    """A stop string that ends inside a token is not seen."""

    rules = TokenEndRules


@fault(
    "stop-string-in-one-token",
    family="F11",
    recreates="mlx-knife #68",
    breaks="interface",
    caught_by="stopping",
    schedules=("strings",),
)
class SearchesTokens(OtherRules):
    """A stop string that spans several tokens is not seen."""

    rules = OneTokenRules


@fault(
    "stop-strings-ignored",
    family="F11",
    recreates="ArcticInference #161",
    breaks="interface",
    caught_by="stopping",
)
class IgnoresStopStrings(OtherRules):
    """Stop strings have no effect."""

    rules = TextlessRules


@fault(
    "minimum-in-steps",
    family="F11",
    recreates="sglang #33643",
    caught_by="greedy",
    schedules=("endings",),
)
class CountsSteps(Decoder):
    """The minimum length counts verify steps, not tokens."""

    def commit(self, verified: Verified) -> None:
        super().commit(verified)
        self.rows.generated -= verified.accepted


@fault(
    "one-past-context",
    family="F11",
    recreates="vLLM #53812",
    breaks="interface",
    caught_by="stopping",
    schedules=("borders",),
)
class OverrunsContext(Decoder):
    """A request that may fill the context gets one token more."""

    def stops(self, request: Request) -> StopRules:
        context = self.cache.positions - chunk_on(self.model.device)
        return super().stops(longer_at_border(request, context=context))

    def admit(self, row: int, request: Request) -> None:
        """Let the row go on."""
        super().admit(row, request)
        self.rows.remaining[row] += 1


def longer_at_border(request: Request, *, context: int) -> Request:
    """A limit of one token more, where prompt and output fill the context."""
    limit = request.max_new_tokens + (len(request.prompt_ids) + request.max_new_tokens >= context)
    return msgspec.structs.replace(request, max_new_tokens=limit)


@fault(
    "budget-less-drafts",
    family="F11",
    recreates="TensorRT-LLM #16826",
    breaks="interface",
    caught_by="stopping",
    schedules=("budgets",),
)
class ReservesForDrafts(Decoder):
    """Room for the drafts is taken out of the token limit."""

    def stops(self, request: Request) -> StopRules:
        """Lower the limit by gamma."""
        limit = max(1, request.max_new_tokens - self.gamma.most)
        return super().stops(msgspec.structs.replace(request, max_new_tokens=limit))
