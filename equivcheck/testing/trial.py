"""An engine under trial, and how it is asked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from equivcheck.core.cases import Sampling
from equivcheck.core.detokenise import Detokenise, detokeniser
from equivcheck.core.engine import Capabilities, Engine
from equivcheck.core.errors import EngineError
from equivcheck.core.generation import Generation, Prompt, Request
from equivcheck.core.refusals import lacking

PROMPT_TEXTS = (
    "def add(a, b):\n    return a +",
    "The cat sat on the mat. The cat sat on the",
    '{"a": 1, "b": 2, "a": 1, "b":',
)
PROMPT_IDS = ((11, 12, 13, 11, 12), (21, 22, 23, 24, 21, 22, 23), (31, 32, 33))
TOKENS = 12
"""Output tokens of a trial, unless a rule needs others."""


class RuleBroken(Exception):
    """What an engine did, in a sentence. Ends the rule that found it."""


class Untried(Exception):
    """Why a rule, or what is left of it, cannot be tried on this engine."""


class Trial:
    """The engine, prompts for it, and answers that several rules need."""

    def __init__(self, engine: Engine, *, prompts: Sequence[Prompt], tokenizer: Any) -> None:
        self.engine, self.tokenizer = engine, tokenizer
        self.prompts = [prompt.ids for prompt in prompts]
        self.conversations = {prompt.ids: prompt.conversation for prompt in prompts}
        self.asked = 0
        self.free_answers: dict[tuple[int, ...], Generation] = {}

    @property
    def capabilities(self) -> Capabilities:
        """What the engine says of itself."""
        return self.engine.capabilities

    @property
    def slots(self) -> int:
        """Token positions to try a rule at: every slot of a verify step, and one more."""
        return self.capabilities.num_speculative_tokens + 2

    @property
    def detokenise(self) -> Detokenise:
        """How ids become text; only where there is a tokenizer."""
        return detokeniser(self.tokenizer)

    @property
    def eos(self) -> int | None:
        """The tokenizer's end-of-text id, as far as one is known."""
        return None if self.tokenizer is None else self.tokenizer.eos_token_id

    def request(
        self,
        prompt: Sequence[int] | None = None,
        *,
        sampling: Sampling | None = None,
        tokens: int = TOKENS,
        ignore_eos: bool = True,
        **fields: Any,
    ) -> Request:
        """A request under a key of its own; the first prompt unless another is given.

        The end of text is heeded where the engine cannot ignore it.
        """
        self.asked += 1
        ids = tuple(prompt or self.prompts[0])
        ignore_eos = ignore_eos and self.serves("ignore_eos")
        return Request(
            key=f"trial/{self.asked}",
            prompt_ids=ids,
            conversation=self.conversations.get(ids),
            max_new_tokens=tokens,
            sampling=sampling or Sampling(),
            ignore_eos=ignore_eos,
            **fields,
        )

    def ask(self, request: Request) -> Generation:
        """One answer to one request.

        Raises:
            RuleBroken: there is not exactly one, or it is under another key.
            Untried: the engine says that it refuses what the request needs.
        """
        if lacks := lacking(self.capabilities, request):
            raise Untried(f"it takes {', '.join(lacks)}, which the engine says it refuses")
        answers = list(self.engine.generate([request]))
        if [answer.key for answer in answers] != [request.key]:
            keys = ", ".join(answer.key for answer in answers) or "nothing"
            raise RuleBroken(f"asked {request.key} alone, it answered {keys}")
        return answers[0]

    def needs_ids(self) -> None:
        """Say that a rule looks at single tokens.

        Raises:
            Untried: the engine gives text alone, of which a tokenizer may make other ids.
        """
        if self.capabilities.text_alone:
            raise Untried("it takes token ids, and the engine gives text alone")

    def accepts(self, request: Request) -> bool:
        """Have a request answered, whatever the engine says of itself, unless it refuses."""
        try:
            return bool(list(self.engine.generate([request])))
        except EngineError:
            return False

    def serves(self, name: str) -> bool:
        """Whether requests may have a field of `Request` or `Sampling`."""
        return name not in self.capabilities.refuses

    def within(self, name: str, value: float, *, enough: float | None = None) -> float:
        """A parameter's value, or the nearest that the engine takes.

        Args:
            name: Of the parameter.
            value: That a rule would like best.
            enough: From which on, seen from `value`, the rule says something.

        Raises:
            Untried: the nearest is not enough.
        """
        least, most = self.capabilities.ranges.get(name, (value, value))
        nearest = min(max(value, least), most)
        if enough is not None and (nearest < enough if value >= enough else nearest > enough):
            raise Untried(f"it takes a {name} of {enough:g}, and the engine stops at {nearest:g}")
        return nearest

    def free(self, prompt: Sequence[int] | None = None) -> tuple[int, ...]:
        """Greedy output of a prompt with nothing to end it but its length.

        Where the engine cannot ignore the end of text, what comes before that.

        Raises:
            Untried: nothing comes before.
        """
        key = tuple(prompt or self.prompts[0])
        if key not in self.free_answers:
            self.free_answers[key] = self.ask(self.request(key, tokens=max(TOKENS, self.slots)))
        answer = self.free_answers[key]
        if self.serves("ignore_eos") or answer.finish_reason != "eos":
            return answer.token_ids
        if len(answer.token_ids) < 2:
            raise Untried("it takes a text, and the engine cannot ignore the end of text")
        return answer.token_ids[:-1]


def shown(tokens: Sequence[int]) -> str:
    """Some ids, for a sentence."""
    listed = " ".join(map(str, tokens[:8]))
    return f"[{listed}{' …' if len(tokens) > 8 else ''}]"
