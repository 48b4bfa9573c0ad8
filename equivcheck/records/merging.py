"""Put the shards of a run together as the run that they are parts of. Pure.

A shard that is missing, given twice, unfinished, unsealed, or of other settings, cases, models or
versions is refused. Machines may differ: the merged run says which part came from where.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from msgspec import UNSET
from msgspec.structs import replace

from equivcheck.core.engine import Capabilities
from equivcheck.core.errors import RecordsError
from equivcheck.core.packed import unpacked
from equivcheck.records.evidence_digest import evidence_digest
from equivcheck.records.records import (
    SCHEMA,
    Evidence,
    Header,
    Preflight,
    Record,
    SampleRecord,
)
from equivcheck.records.same_run import first_difference
from equivcheck.records.sample_keys import in_order
from equivcheck.records.shards import Part, Shard

MACHINE = (
    "platform",
    "libc",
    "cores",
    "cpu",
    "vectors",
    "gpu",
    "driver",
    "threads",
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
)
"""What of the environment may differ between shards; everything else is a version or a switch that
decides what is computed."""


class ShardRun(NamedTuple):
    """One shard as it was read."""

    name: str
    """Its folder, for messages."""
    evidence: Evidence
    seal: str
    """Seal of its last line; empty: it has none."""

    @property
    def shard(self) -> Shard:
        """Which shard it is.

        Raises:
            RecordsError: it is none.
        """
        if self.evidence.header.shard is None:
            raise RecordsError(f"{self.name}: a whole run, no shard of one")
        return self.evidence.header.shard


def in_turn(runs: Sequence[ShardRun]) -> list[ShardRun]:
    """All shards of one run in order.

    Raises:
        RecordsError: some are missing, there twice, unfinished or unsealed, or they are not shards
            of one run; names the folder and what is wrong.
    """
    if not runs:
        raise RecordsError("no shards to merge")
    first, found = runs[0], dict[int, ShardRun]()
    for run in runs:
        if run.evidence.sealed is None:
            raise RecordsError(f"{run.name}: an unfinished shard; run the same again to go on")
        if run.evidence.unsealed:
            raise RecordsError(f"{run.name}: its lines have no seals, as those of shards do")
        if run.shard.index in found:
            twin = found[run.shard.index].name
            raise RecordsError(f"{run.name}: shard {run.shard.index} again, which is {twin} too")
        found[run.shard.index] = run
        _refuse_other(first, run)
    of = first.shard.of
    if missing := [index for index in range(1, of + 1) if index not in found]:
        named = ", ".join(map(str, missing[:10])) + (", …" if len(missing) > 10 else "")
        raise RecordsError(f"{len(missing)} of {of} shards are missing: {named}")
    return [found[index] for index in sorted(found)]


def _refuse_other(first: ShardRun, run: ShardRun) -> None:
    # An arm that had nothing to answer in a shard was not opened there, and told nothing.
    shared = _opened(first.evidence.header).keys() & _opened(run.evidence.header).keys()
    one, other = (
        replace(
            header,
            shard=replace(shard, index=0),
            arms={arm: told for arm, told in header.arms.items() if arm in shared},
            environment={
                name: fact for name, fact in header.environment.items() if name not in MACHINE
            },
            planned={},
            left_out=(),
        )
        for header, shard in (
            (first.evidence.header, first.shard),
            (run.evidence.header, run.shard),
        )
    )
    if difference := first_difference(found=one, wanted=other):
        raise RecordsError(
            f"{run.name}: not a shard of the same run: {difference.field} is "
            f"{ascii(difference.wanted)[:60]} there and {ascii(difference.found)[:60]} in "
            f"{first.name}"
        )


def _opened(header: Header) -> dict[str, Capabilities]:
    return {arm: told for arm, told in header.arms.items() if header.planned.get(arm)}


def merged_header(runs: Sequence[ShardRun], *, run: str) -> Header:
    """The manifest of the merged run, which names its parts.

    Args:
        runs: As `in_turn` returns them.
        run: Its id.
    """
    headers = [each.evidence.header for each in runs]
    keys = runs[0].shard.keys
    order = {key: place for place, key in enumerate(keys)}
    arms = {arm: told for header in headers for arm, told in header.arms.items()}
    arms |= {arm: told for header in reversed(headers) for arm, told in _opened(header).items()}
    names = dict.fromkeys(name for header in headers for name in header.planned)
    return Header(
        schema=SCHEMA,
        run=run,
        created=max(header.created for header in headers),
        settings=headers[0].settings,
        suites=headers[0].suites,
        arms=arms,
        planned={
            arm: tuple(
                sorted(
                    (key for header in headers for key in header.planned.get(arm, ())),
                    key=order.__getitem__,
                )
            )
            for arm in names
        },
        eos_token_ids=headers[0].eos_token_ids,
        vocab_size=headers[0].vocab_size,
        environment=_environment(headers),
        models=headers[0].models,
        git_commit=headers[0].git_commit,
        git_dirty=headers[0].git_dirty,
        draw_seed=headers[0].draw_seed,
        order=headers[0].order,
        threads_timed=any(header.threads_timed for header in headers),
        left_out=tuple(
            sorted(
                (each for header in headers for each in header.left_out),
                key=lambda each: order[each.key],
            )
        ),
        schedules=headers[0].schedules,
        merged=tuple(_part(run) for run in runs),
    )


def _part(run: ShardRun) -> Part:
    header, shard = run.evidence.header, run.shard
    own = shard.cases
    return Part(
        index=shard.index,
        run=header.run,
        created=header.created,
        keys=tuple(key for key in shard.keys if key in own),
        environment=header.environment,
        seal=run.seal,
        evidence=evidence_digest(run.evidence),
        scores=run.evidence.scored[-1].sha256 if run.evidence.scored else None,
        draw_seed=header.draw_seed,
    )


def _environment(headers: Sequence[Header]) -> dict[str, str]:
    """Facts of all machines; those that differ side by side."""
    names = dict.fromkeys(name for header in headers for name in header.environment)
    return {
        name: " | ".join(dict.fromkeys(header.environment.get(name, "none") for header in headers))
        for name in names
    }


def merged_records(runs: Sequence[ShardRun], header: Header) -> Iterator[Record]:
    """The evidence of all shards but for scores: by kind, by arm, in the order of the suites."""
    every = [each.evidence for each in runs]
    asked = {key: told for each in every for key, told in each.asked.items()}
    order = {key: place for place, key in enumerate(runs[0].shard.keys)}
    for key in sorted(asked, key=order.__getitem__):
        yield asked[key]
    for arm in header.arms:
        answers = {key: told for each in every for key, told in each.captured.get(arm, {}).items()}
        for key in sorted(answers, key=order.__getitem__):
            answer = answers[key]
            yield replace(answer, generation=unpacked(answer.generation))
    for name in ("failures", "served", "arbitrations", "rescored", "grades"):
        for each in every:
            yield from getattr(each, name)
    if found := [each.preflight for each in every if each.preflight]:
        yield _preflight(found)
    for arm, cases in header.planned.items():
        draws = {key: each for each in every for key in each.draws.get(arm, {})}
        for key in in_order(draws, cases) if draws else ():
            stops = draws[key].stops_of_draws.get(arm, {})
            generation = unpacked(draws[key].draws[arm][key])
            yield SampleRecord(
                arm=arm, generation=generation, stop_completed_at=stops.get(key, UNSET)
            )


def _preflight(found: Sequence[Preflight]) -> Preflight:
    """What could be seen, over the positions of all shards; each names the whole run's budget."""
    positions = sum(each.positions for each in found)
    weights = [each.positions / positions if positions else 0.0 for each in found]
    names = dict.fromkeys(name for each in found for name in each.divergences)
    pairs = list(zip(weights, found, strict=True))
    return Preflight(
        positions=positions,
        draft_distance=sum(weight * each.draft_distance for weight, each in pairs),
        divergences={
            name: sum(weight * each.divergences.get(name, 0.0) for weight, each in pairs)
            for name in names
        },
        tokens=max(each.tokens for each in found),
    )
