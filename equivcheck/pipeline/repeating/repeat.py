"""Repeat what an equivalence test found, from `bundle.json` beside this file, and nothing else.

Exit codes: 1 while it is there, 0 where it is gone, 2 where it cannot be repeated here.

    python repeat.py [--candidate SPEC] [--target SPEC] [--model PATH] [--draft PATH]
                     [--records FILE] [--seed N]

An engine is named as in the bundle: ``transformers:mode=assisted``, ``http://HOST:PORT`` (of
llama.cpp with ``,dialect=llamacpp`` behind it), or one of equivcheck's own such as
``native:gamma=4``, which needs that package. ``--target recorded`` takes what the target answered
in the run. ``--model`` and ``--draft`` say where transformers finds the models, ``--records`` where
prompts are that were left out. transformers runs by its `generate()`; servers are asked by HTTP,
which takes the standard library alone.

This file runs on its own: it is copied into a bundle as it stands.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import pathlib
import random
import sys
import traceback
from collections.abc import Iterator
from typing import Any

from equivcheck.pipeline.repeating.answers import Ask, CannotRepeatError, RepeatedAnswer, Requests
from equivcheck.pipeline.repeating.asking import RECORDED, opened, parted, recorded_gap, speaks
from equivcheck.pipeline.repeating.by_url import gap_by_server
from equivcheck.pipeline.repeating.counting import gap_at, placing, threshold
from equivcheck.pipeline.repeating.rules import broken

DRAWN = 20
"""Answers to a sampled case that have to keep the rules."""


def main() -> int:
    """Repeat it, say what came, and return the exit code."""
    try:
        return repeat()
    # Python's own exit code for it, 1, would say that the bug is there.
    except (Exception, KeyboardInterrupt) as error:
        if not isinstance(error, CannotRepeatError | OSError | ImportError):
            traceback.print_exception(error)
        say(f"CANNOT BE REPEATED HERE: {type(error).__name__}: {error}")
        return 2


def repeat() -> int:
    """Read what to repeat, open what it takes, and repeat it."""
    facts = json.loads(pathlib.Path(__file__).with_name("bundle.json").read_text("utf-8"))
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    for arm in ("candidate", "target"):
        parser.add_argument(f"--{arm}", default=facts["engines"][arm])
    parser.add_argument("--model", default=facts["models"].get("target"))
    parser.add_argument("--draft", default=facts["models"].get("draft"))
    parser.add_argument(
        "--records", help="records.jsonl of the run, for prompts that were left out"
    )
    parser.add_argument("--seed", type=int, default=1, help="of the tokens that are drawn")
    given = parser.parse_args()
    if threads := facts["setup"].get("threads"):
        # As in the run; libraries read it as they are imported.
        os.environ.setdefault("OMP_NUM_THREADS", str(threads))
    # Bits are promised by the engines of the run alone.
    engines = {"candidate": given.candidate, "target": given.target}
    facts["exact"] &= facts["engines"] == engines
    facts["engines"] = engines
    facts["models"] = {"target": given.model, "draft": given.draft}
    fill_in(facts["requests"], given.records)
    candidate = opened(given.candidate, facts)
    if facts["kind"] == "draws":
        return repeat_draws(facts, candidate, seed=given.seed)
    if facts["kind"] == "again":
        return repeat_again(facts, candidate)
    if facts["kind"] == "rules":
        return repeat_rules(facts, candidate, seed=given.seed)
    return repeat_tokens(facts, candidate, opened(given.target, facts))


def repeat_tokens(facts: dict[str, Any], candidate: Ask, target: Ask) -> int:
    """The same batch to both: is the case answered with the same token ids?"""
    key, batch = facts["key"], facts["requests"]
    answers = {"candidate": candidate(batch)[key], "target": target(batch)[key]}
    return compared(facts, answers, exact=facts["exact"])


def repeat_again(facts: dict[str, Any], candidate: Ask) -> int:
    """The same case to one engine, in its batch, in the batch turned round, and alone."""
    key, batch = facts["key"], facts["requests"]
    first = candidate(batch)[key]
    alone = [request for request in batch if request["key"] == key]
    codes = [0]
    for name, other in (("again", batch), ("in another order", batch[::-1]), ("alone", alone)):
        answers = {name: candidate(other)[key], "at first": first}
        codes.append(compared(facts, answers, exact=facts["exact"] or other is batch))
    return 1 if 1 in codes else max(codes)


def repeat_rules(facts: dict[str, Any], candidate: Ask, *, seed: int) -> int:
    """Does the case's answer keep the rules of length and stopping? Sampled, it is drawn often."""
    key, batch = facts["key"], facts["requests"]
    request = next(each for each in batch if each["key"] == key)
    turns = DRAWN if request.get("sampling", {}).get("temperature") else 1
    for turn in range(turns):
        again = {"seed": fresh(seed, f"{key}#{turn}")} if turn else {}
        ids = candidate([each | again for each in batch])[key].ids
        if wrong := broken(ids, request, facts):
            say(f"THE BUG IS THERE: {key}: {wrong}")
            return 1
    say(f"{key}: {turns} answers, and each keeps the rules of length and stopping")
    return 0


def compared(facts: dict[str, Any], answers: dict[str, RepeatedAnswer], *, exact: bool) -> int:
    """Say whether two answers are the same, and where they part; the exit code.

    Where arithmetic may differ, a near tie that parts them decides nothing, nor does a place that
    cannot be looked at.
    """
    key, names = facts["key"], " and ".join(answers)
    one, other = up_to_a_stop(*answers.values(), block=facts.get("block", 0))
    if one == other:
        say(f"{key}: the same {len(one)} token ids, {names}")
        return 0
    pairs = zip(one, other, strict=False)
    place = next((at for at, (a, b) in enumerate(pairs) if a != b), min(len(one), len(other)))
    doubt = None if exact else tie(facts, one, other, place=place)
    said = f"NOT DECIDED, {doubt}" if doubt else "THE BUG IS THERE"
    say(f"{said}: {key} parts at output token {place}, counted from 0")
    for name, answer in zip(answers, (one, other), strict=True):
        say(f"  {name}: {answer[: place + 1][-8:]} ({len(answer)} tokens)")
    return 2 if doubt else 1


def up_to_a_stop(
    one: RepeatedAnswer, other: RepeatedAnswer, *, block: int
) -> tuple[list[int], list[int]]:
    """The ids of both, without what a block holds behind the stop string that ended both.

    A server that decodes in blocks looks for stop strings behind each block.
    """
    short, long = sorted((one.ids, other.ids), key=len)
    beyond = long[: len(short)] == short and len(long) - len(short) <= block
    if one.by_string and other.by_string and beyond:
        return short, short
    return one.ids, other.ids


def tie(facts: dict[str, Any], one: list[int], other: list[int], *, place: int) -> str | None:
    """Why arithmetic alone may have parted two answers; None: it has not."""
    if place == min(len(one), len(other)):
        return None
    if facts["parted"] == [place, one[place], other[place]]:
        # Where the two parted in the run as well, which looked at how near they are.
        return None
    request = next(each for each in facts["requests"] if each["key"] == facts["key"])
    if request.get("sampling"):
        return "it parts elsewhere than in the run, and is not plain greedy decoding"
    try:
        gap, allowed = gap_of(facts, request["prompt_ids"], one, other, place=place)
    except (CannotRepeatError, ImportError, OSError) as error:
        return (
            f"it parts elsewhere than in the run, and no model says how near a tie it is ({error})"
        )
    return f"a near tie of {gap:.3g} nats, {allowed:.3g} allowed" if gap <= allowed else None


def gap_of(
    facts: dict[str, Any], prompt: list[int], one: list[int], other: list[int], *, place: int
) -> tuple[float, float]:
    """Nats between the two tokens at a place, and what arithmetic may make of it.

    By the target itself where it says so: its server, or what it reported in the run. Else by
    transformers.
    """
    name, options = parted(facts["engines"]["target"])
    prefix = prompt + other[:place]
    if speaks(name, options):
        return gap_by_server(options, facts, prefix, one[place], other[place])
    if name == RECORDED:
        try:
            return recorded_gap(facts, place)
        except CannotRepeatError:
            pass
    return gap_at(facts, prefix, one[place], other[place])


def repeat_draws(facts: dict[str, Any], candidate: Ask, *, seed: int) -> int:
    """Draw a fixed number of tokens and count one event whose probability is known."""
    event, batch = facts["event"], facts["requests"]
    border, wanted = event["border"], event["tokens"]
    share = 1 - border if event["above"] else border
    least = threshold(wanted, share)
    where = f"{'above' if event['above'] else 'below'} {border}"
    say(
        f"drawing {wanted:,} tokens with seed {seed}; each one's place in the target's own "
        f"distribution, tokens ordered by {event['words']}, lies {where} with probability "
        f"{share:.3g}; {least:,} or more such tokens come by chance once in 1,000,000 times"
    )
    place_of = placing(facts, order=event["order"])
    noise, seen, hits, turn = random.Random(seed), 0, 0, 0
    while seen < wanted:
        turn += 1
        asked = [each | {"seed": fresh(seed, f"{each['key']}#{turn}")} for each in batch]
        answers = candidate(asked)
        for request in asked:
            if request["key"] not in event["cases"]:
                continue
            for place in place_of(request, answers[request["key"]].ids, noise)[: wanted - seen]:
                seen += 1
                hits += (place > border) == event["above"]
    there = hits >= least
    say(f"{'THE BUG IS THERE' if there else 'it is gone'}: {hits:,} of {seen:,} tokens ({least:,})")
    return int(there)


def fill_in(requests: Requests, records: str | None) -> None:
    """Put prompts back that were left out, from the run's own records, and check them."""
    for request in requests:
        if "prompt_ids" not in request:
            if records is None:
                raise CannotRepeatError("prompts were left out of this bundle: give --records FILE")
            request["prompt_ids"] = dict(stored(records)).get(request["key"], [])
        text = json.dumps(request["prompt_ids"], separators=(",", ":"))
        digest = request.pop("prompt_sha256")
        if hashlib.sha256(text.encode()).hexdigest() != digest:
            raise CannotRepeatError(f"the prompt of {request['key']} is not the one that was asked")


def stored(records: str) -> Iterator[tuple[str, list[int]]]:
    """Key and prompt of each request in a records file."""
    with pathlib.Path(records).open(encoding="utf-8") as lines:
        for line in lines:
            if '"asked"' in line[:40] and (found := json.loads(line)):
                yield found["request"]["key"], found["request"]["prompt_ids"]


def fresh(seed: int, name: str) -> int:
    """A seed of its own for each draw, 32 bits."""
    return int.from_bytes(hashlib.sha256(f"{seed}\n{name}".encode()).digest()[:4], "little")


def say(line: str) -> None:
    """One line, at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
