"""Repeat what an equivalence test found, from `bundle.json` beside this file, and nothing else.

Exit codes: 1 while it is there, 0 where it is gone, 2 where it cannot be repeated here.

    python repeat.py [--candidate SPEC] [--target SPEC] [--model PATH] [--draft PATH]
                     [--records FILE] [--seed N]

An engine is named as in the bundle: ``transformers:mode=assisted``, ``http:url=http://HOST:PORT``,
or one of equivcheck's own such as ``native:gamma=4``, which needs that package. ``--model`` and
``--draft`` say where transformers finds the models, ``--records`` where prompts are that were left
out. transformers runs by its `generate()`, servers are asked by HTTP.

This file runs on its own: it is copied into a bundle as it stands.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import pathlib
import random
import sys
import traceback
from collections.abc import Iterator
from typing import Any

from equivcheck.pipeline.repeating.asking import Ask, CannotRepeatError, Requests, opened
from equivcheck.pipeline.repeating.counting import placing, threshold


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
    facts["models"] = {"target": given.model, "draft": given.draft}
    fill_in(facts["requests"], given.records)
    candidate = opened(given.candidate, facts)
    if facts["kind"] == "draws":
        return repeat_draws(facts, candidate, seed=given.seed)
    if facts["kind"] == "again":
        return repeat_again(facts, candidate)
    return repeat_tokens(facts, candidate, opened(given.target, facts))


def repeat_tokens(facts: dict[str, Any], candidate: Ask, target: Ask) -> int:
    """The same batch to both: is the case answered with the same token ids?"""
    key, batch = facts["key"], facts["requests"]
    return compared(key, candidate(batch)[key], target(batch)[key], names=("candidate", "target"))


def repeat_again(facts: dict[str, Any], candidate: Ask) -> int:
    """The same case to one engine, in its batch, in the batch turned round, and alone."""
    key, batch = facts["key"], facts["requests"]
    first = candidate(batch)[key]
    alone = [request for request in batch if request["key"] == key]
    for name, other in (("again", batch), ("in another order", batch[::-1]), ("alone", alone)):
        if compared(key, candidate(other)[key], first, names=(name, "at first")):
            return 1
    return 0


def compared(key: str, one: list[int], other: list[int], *, names: tuple[str, str]) -> int:
    """Say whether two answers are the same, and where they part."""
    if one == other:
        say(f"{key}: the same {len(one)} token ids, {names[0]} and {names[1]}")
        return 0
    pairs = zip(one, other, strict=False)
    place = next((at for at, (a, b) in enumerate(pairs) if a != b), min(len(one), len(other)))
    say(f"THE BUG IS THERE: {key} parts at output token {place}, counted from 0")
    for name, answer in zip(names, (one, other), strict=True):
        say(f"  {name}: {answer[: place + 1][-8:]} ({len(answer)} tokens)")
    return 1


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
            for place in place_of(request, answers[request["key"]], noise)[: wanted - seen]:
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
