"""What cases of one file say of each other: turns of a session, what comes after what, prefixes.

Pure. Knows ids and order; prompts are made where there is a tokenizer.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

from msgspec.structs import replace

from equivcheck.core.cases import Case, Suite
from equivcheck.core.errors import did_you_mean


def samples_of(case: Case) -> tuple[Case, ...]:
    """A case of ``n`` samples as that many cases: ``poem.1``, ``poem.2``; another case as it is."""
    if case.n == 1:
        return (case,)
    return tuple(replace(case, id=f"{case.id}.{number}", n=1) for number in range(1, case.n + 1))


def turns_before(cases: Iterable[Case]) -> dict[str, tuple[Case, ...]]:
    """Id of each later turn of a session to the turns before it, in order."""
    sessions: dict[str, list[Case]] = {}
    found = {}
    for case in cases:
        if case.session is not None:
            turns = sessions.setdefault(case.session, [])
            if turns:
                found[case.id] = tuple(turns)
            turns.append(case)
    return found


def leaders_of(suites: Iterable[Suite]) -> dict[str, str]:
    """Key of each case that belongs to an earlier one to that of the first that it belongs to.

    Turns of a session belong together, and so do a case and what it comes after or begins with.
    In a suite whose requests have times, all do: what a request meets is part of what is asked.
    """
    return {
        f"{suite.workload}/{case}": f"{suite.workload}/{first}"
        for suite in suites
        for case, first in _firsts(suite).items()
        if case != first
    }


def _firsts(suite: Suite) -> dict[str, str]:
    """Id of each case to that of the first that it belongs to, which may be itself."""
    if suite.timed:
        return {case.id: suite.cases[0].id for case in suite.cases}
    found: dict[str, str] = {}
    sessions: dict[str, str] = {}
    for case in suite.cases:
        named = (case.after, _base(case), sessions.get(case.session or ""))
        together = {found[each] for each in named if each in found}
        places = list(found)
        first = min(together, key=places.index, default=case.id)
        for other, own in found.items():
            if own in together:
                found[other] = first
        found[case.id] = first
        if case.session is not None:
            sessions.setdefault(case.session, case.id)
    return found


def waves(cases: Iterable[Case]) -> dict[str, int]:
    """Id to the wave in which a case is asked, from 0: one behind all that it comes after.

    A case comes after the turn before it and after the case that it names, where that is there,
    and not before the wave that it arrives in.
    """
    last_turn: dict[str, int] = {}
    found: dict[str, int] = {}
    for case in cases:
        before = [last_turn.get(case.session, -1)] if case.session is not None else []
        before += [found[case.after]] if case.after in found else []
        own = case.arrives.wave if case.arrives else 0
        found[case.id] = max(own, 1 + max(before, default=-1))
        if case.session is not None:
            last_turn[case.session] = found[case.id]
    return found


def needed_by(cases: Sequence[Case], chosen: Collection[str]) -> set[str]:
    """Ids of the chosen cases and of all that these need: earlier turns, cases that they name."""
    before = turns_before(cases)
    needed = set(chosen)
    for case in reversed(cases):
        if case.id in needed:
            needed |= {turn.id for turn in before.get(case.id, ())}
            needed |= {named for named in (case.after, _base(case)) if named is not None}
    return needed


def wrong_relations(cases: Sequence[Case], *, drawn_many_times: bool) -> Iterator[tuple[Case, str]]:
    """Cases whose fields do not go together with others', and ``field: what is wrong``.

    Args:
        cases: Of one file, in its order.
        drawn_many_times: Whether the distribution of its sampled cases is tested.
    """
    earlier: dict[str, Case] = {}
    later = turns_before(cases)
    for case in cases:
        if wrong := _wrong(case, earlier, later, drawn_many_times=drawn_many_times):
            yield case, wrong
        earlier[case.id] = case


def wrong_samples(case: Case) -> str | None:
    """Why a case cannot have its number of samples, ``field: what``; None: it can."""
    if case.n == 1:
        return None
    if case.sampling.greedy:
        return "n: samples of a greedy case are all the same; give it a temperature"
    return "n: a turn of a session has one answer" if case.session is not None else None


def _wrong(
    case: Case,
    earlier: Mapping[str, Case],
    later: Mapping[str, tuple[Case, ...]],
    *,
    drawn_many_times: bool,
) -> str | None:
    base = _base(case)
    for field, named in (("after", case.after), ("shares_prefix_with.id", base)):
        if named is not None and named not in earlier:
            return f"{field}: no case {named!r} on an earlier line{did_you_mean(named, earlier)}"
    turns = later.get(case.id, ())
    if base is not None:
        if case.messages is not None:
            return "shares_prefix_with: goes with prompt or token_ids, not with messages"
        if turns:
            return "shares_prefix_with: a later turn begins with the turns before it"
        if base in later:
            return f"shares_prefix_with.id: the prompt of {base!r} hangs on an answer"
    if case.session is not None and drawn_many_times:
        return "session: a suite whose header says law has none"
    if turns and (case.messages is None) != (turns[0].messages is None):
        return "session: all turns of a session have messages, or none has"
    if turns and turns[-1].give_up_after and not turns[-1].retry:
        return f"session: this turn needs an answer to {turns[-1].id!r}, which is given up for good"
    if drawn_many_times and (case.arrives or case.give_up_after):
        field = "arrives" if case.arrives else "give_up_after"
        return f"{field}: the cases of a suite whose header says law have no times"
    return None


def _base(case: Case) -> str | None:
    return case.shares_prefix_with.id if case.shares_prefix_with else None
