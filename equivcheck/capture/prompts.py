"""Prompts of a plan, and those of later turns of sessions, which are made as answers come.

Knows a tokenizer only by two functions. Which arm answered what is kept here, and no verdict.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial

from msgspec import Struct
from msgspec.structs import replace

from equivcheck.core.cases import Case, Conversation, Suite
from equivcheck.core.errors import SuiteError
from equivcheck.core.generation import Generation, Prompt, Request
from equivcheck.core.schedule import turns_before, waves
from equivcheck.records.records import Failed, GenerationRecord

Encode = Callable[[Case], Sequence[int]]
"""From a case to its prompt's token ids."""
Answers = Sequence[Sequence[int]]
"""Output ids of turns."""
Follow = Callable[[Sequence[Case], Answers], Prompt]
"""From the turns of a session, and the answers to all but the last, to the last one's prompt."""


class FollowUpPrompt(Struct, frozen=True):
    """How the prompt of a later turn is made."""

    before: tuple[str, ...]
    """Keys of the turns before it."""
    prompt: Callable[[Answers], Prompt]
    """From the answers to these to its prompt."""


class PlannedPrompts:
    """The prompts of a suite's cases, as far as they are known before anything is answered."""

    def __init__(self, suite: Suite, *, encode: Encode, follow: Follow | None) -> None:
        """Look at which case follows which."""
        self.suite, self.encode, self._follow = suite, encode, follow
        self.waves, self.before = waves(suite.cases), turns_before(suite.cases)
        self.known: dict[str, tuple[int, ...]] = {}

    def of(self, case: Case) -> Prompt:
        """The prompt of a case; that of a later turn has no answers in it.

        Raises:
            SuiteError: it cannot be encoded, or shares more tokens than there are.
        """
        turn = self.turn(case)
        if turn is not None:
            prompt = turn.prompt([()] * len(turn.before))
        elif case.shares_prefix_with is not None:
            shared = Case(id=case.id, token_ids=self.prefix(case))
            prompt = self.follow([shared, case], [()])
        else:
            prompt = Prompt(tuple(self.encode(case)), case.conversation)
        self.known[case.id] = prompt.ids
        return prompt

    def prefix(self, case: Case) -> tuple[int, ...]:
        """What a case takes over from another.

        Raises:
            SuiteError: the other's prompt is shorter than that.
        """
        asked = case.shares_prefix_with
        assert asked is not None
        prompt = self.known[asked.id]
        if asked.tokens is not None and asked.tokens > len(prompt):
            line = self.suite.lines[self.suite.cases.index(case)]
            raise SuiteError(
                f"{self.suite.path}:{line}: shares_prefix_with.tokens: {asked.tokens}, but the "
                f"prompt of {asked.id!r} has {len(prompt)}"
            )
        return prompt[: asked.tokens]

    def turn(self, case: Case) -> FollowUpPrompt | None:
        """How the prompt of a later turn is made; None: it is none."""
        before = self.before.get(case.id)
        if not before:
            return None
        first = before[0]
        if first.messages is None:
            # It may begin with another case's prefix, which is known by now.
            first = Case(id=first.id, token_ids=self.known[first.id])
        turns = (first, *before[1:], case)
        return FollowUpPrompt(tuple(map(self.suite.key, before)), partial(self.follow, turns))

    def follow(self, turns: Sequence[Case], answers: Answers) -> Prompt:
        """The prompt of the last of some turns."""
        assert self._follow is not None
        return self._follow(turns, answers)


class Histories:
    """What each arm answered in sessions, and the prompts that follow from that."""

    def __init__(self, turns: Mapping[str, FollowUpPrompt]) -> None:
        self.turns = turns
        self.kept = {key for turn in turns.values() for key in turn.before}
        self.answers: dict[tuple[str, str], tuple[int, ...]] = {}
        """By arm and key."""
        self.prompts: dict[tuple[str, tuple[tuple[int, ...], ...]], Prompt] = {}
        """By key and earlier answers. A chat template may write the date: what was asked once
        behind the same answers is asked again."""

    def stored(self, answers: Iterable[GenerationRecord]) -> None:
        """Take over what a run's records hold of an arm."""
        every = list(answers)
        for captured in every:
            self.note(captured.generation, arm=captured.arm)
        for captured in every:
            key = captured.generation.key
            if captured.prompt_ids is not None and key in self.turns:
                before = self._before(key, arm=captured.arm)
                if None not in before:
                    known = tuple(each for each in before if each is not None)
                    prompt = self.turns[key].prompt(known)._replace(ids=captured.prompt_ids)
                    self.prompts.setdefault((key, known), prompt)

    def note(self, generation: Generation, *, arm: str) -> None:
        """Remember an answer that another prompt may hang on."""
        if generation.key in self.kept:
            self.answers[arm, generation.key] = generation.token_ids

    def asked(self, request: Request, *, arm: str) -> Request | Failed:
        """A request as an arm gets it, or why it cannot be asked."""
        turn = self.turns.get(request.key)
        if turn is None:
            return request
        before = self._before(request.key, arm=arm)
        known = tuple(each for each in before if each is not None)
        if len(known) < len(before):
            missing = turn.before[before.index(None)]
            why = f"not asked: its session has no answer to {missing}"
            return Failed(arm=arm, key=request.key, message=why)
        if (request.key, known) not in self.prompts:
            try:
                self.prompts[request.key, known] = turn.prompt(known)
            except SuiteError as error:
                return Failed(arm=arm, key=request.key, message=str(error))
        prompt = self.prompts[request.key, known]
        return replace(request, prompt_ids=prompt.ids, conversation=prompt.conversation)

    def prompt(self, key: str, *, arm: str) -> tuple[int, ...] | None:
        """The prompt that a later turn had in an arm; None: it is none."""
        if key not in self.turns:
            return None
        before = self._before(key, arm=arm)
        return self.prompts[key, tuple(each for each in before if each is not None)].ids

    def conversations(self, arm: str) -> dict[str, Conversation | None]:
        """Key of a later turn to what its prompt in an arm was made of, where it was asked."""
        return {
            key: prompt.conversation
            for (key, known), prompt in self.prompts.items()
            if self._before(key, arm=arm) == list(known)
        }

    def _before(self, key: str, *, arm: str) -> list[tuple[int, ...] | None]:
        return [self.answers.get((arm, each)) for each in self.turns[key].before]
