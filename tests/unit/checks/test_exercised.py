"""Required events decide whether a run passes; others only inform."""

from __future__ import annotations

import msgspec
import pytest

from equivcheck.checks.exercised import IDS, check, required_events, with_required_events
from equivcheck.checks.verdict import judge
from equivcheck.core.errors import SettingsError
from equivcheck.core.findings import Outcome, Reason
from equivcheck.core.settings import Settings
from equivcheck.records.records import CANDIDATE, TARGET, Evidence
from tests.unit.make import make_capabilities, make_evidence, make_generation, make_steps


def run(settings: Settings) -> Evidence:
    """A run that passes: some drafts accepted, some rejected, all of a step accepted."""
    tokens = tuple(range(10, 19))
    plain = make_generation(tokens, steps=make_steps(*[(0, 0)] * 9))
    fast = make_generation(tokens, steps=make_steps((2, 1), (2, 2), (2, 2), (0, 0)))
    told = {
        TARGET: make_capabilities(rule="greedy", reports_steps=True),
        CANDIDATE: make_capabilities(num_speculative_tokens=2, reports_steps=True),
    }
    return make_evidence({TARGET: [plain], CANDIDATE: [fast]}, arms=told, settings=settings)


def test_nothing_is_required_by_default() -> None:
    evidence = run(Settings())
    assert check(evidence) == []
    assert judge(evidence).outcome is Outcome.PASS


def test_what_was_exercised_passes() -> None:
    (finding,) = check(run(Settings(require_events=("partly-accepted", "all-accepted-greedy"))))
    assert (finding.outcome, finding.reason) == (Outcome.PASS, Reason.EXERCISED)
    assert (finding.headline, finding.n) == ("2 required events exercised", 2)


def test_a_missing_one_makes_a_pass_inconclusive() -> None:
    evidence = run(Settings(require_events="partly-accepted, rejected-each-slot-greedy"))
    (finding,) = check(evidence)
    assert (finding.outcome, finding.reason) == (Outcome.INCONCLUSIVE, Reason.NOT_EXERCISED)
    assert finding.headline == "1 of 2 required events not exercised"
    assert finding.details == (
        "rejected-each-slot-greedy: a draft rejected in each slot, greedy requests; never: slot 0",
    )
    verdict = judge(evidence)
    assert verdict.outcome is Outcome.INCONCLUSIVE
    assert "events: 1 of 2 required events not exercised" in verdict.headline


def test_an_unknown_event_is_no_exercised_one() -> None:
    (finding,) = check(run(Settings(require_events=("near-tie",))))
    assert finding.outcome is Outcome.INCONCLUSIVE
    assert finding.details == ("near-tie: unknown: the engine reports no log-probabilities",)


def test_all_events_are_those_of_the_models_windows_too() -> None:
    evidence = run(Settings(require_events="all"))
    header = msgspec.structs.replace(evidence.header, windows={"target": 700})
    windowed = msgspec.structs.replace(evidence, header=header)
    (without,), (with_window,) = check(evidence), check(windowed)
    assert any(line.startswith("greedy-past-700: ") for line in with_window.details)
    assert len(with_window.details) > len(without.details)
    named = Settings(require_events=("partly-accepted",))
    chosen = msgspec.structs.replace(header, settings=named)
    (finding,) = check(msgspec.structs.replace(evidence, header=chosen))
    assert finding.headline == "1 required event exercised"


def test_an_id_that_is_no_event_is_never_exercised() -> None:
    (finding,) = check(run(Settings(require_events=("near-ties",))))
    assert finding.details == ("near-ties: unknown: no event has this id",)
    with pytest.raises(SettingsError, match="did you mean 'near-tie'"):
        with_required_events(Settings(require_events=("near-ties",)))


def test_what_a_file_says_cannot_reach_the_terminal() -> None:
    (finding,) = check(run(Settings(require_events=("\x1b[2J" + "x" * 500,))))
    assert "\x1b" not in "".join(finding.details)
    assert len(finding.details) == 2


@pytest.mark.parametrize(
    ("given", "profile", "required"),
    [
        ("auto", "default", ()),
        ("auto", "release", IDS),
        ("all", "quick", IDS),
        ((), "release", ()),
        (None, "release", ()),
        ("near-tie,exact-tie", "release", ("near-tie", "exact-tie")),
    ],
)
def test_what_a_run_that_starts_requires(
    given: str | tuple[str, ...] | None, profile: str, required: tuple[str, ...]
) -> None:
    settings = msgspec.convert({"profile": profile, "require_events": given}, Settings)
    assert required_events(with_required_events(settings)) == required


def test_a_stored_release_of_before_is_judged_as_ever() -> None:
    old = msgspec.to_builtins(Settings(profile="release"))
    del old["require_events"]
    evidence = run(msgspec.convert(old, Settings))
    assert check(evidence) == []
    assert judge(evidence).outcome is Outcome.PASS
