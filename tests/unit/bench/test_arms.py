from __future__ import annotations

import pytest

from equivcheck.bench.arms import WORST, Sweeps, arms_of, points_of
from equivcheck.core.engine_tables import EngineTable
from equivcheck.core.errors import SettingsError
from equivcheck.core.settings import EngineSetup, Settings

SETTINGS = Settings(candidate="native:gamma=4")


def specs(**options: object) -> list[tuple[str, str]]:
    given = {"drafts": (), "others": ()} | options
    return [(arm.role, arm.spec) for arm in arms_of(SETTINGS, **given)]  # type: ignore[arg-type]


def test_target_stock_and_candidate_by_default() -> None:
    assert specs() == [
        ("target", "native:gamma=0"),
        ("stock", "native:gamma=0,width=1"),
        ("candidate", "native:gamma=4"),
    ]


def test_every_draft_with_every_gamma() -> None:
    arms = arms_of(
        SETTINGS, drafts=("native:drafter=lookup", "tiny+other"), others=(), gammas=(2, 4)
    )
    assert [(arm.name, arm.pair) for arm in arms if arm.role == "candidate"] == [
        ("native:gamma=2,drafter=lookup", "tiny"),
        ("native:gamma=4,drafter=lookup", "tiny"),
        ("native:gamma=2 on tiny+other", "tiny+other"),
        ("native:gamma=4 on tiny+other", "tiny+other"),
    ]


def test_native_arms_share_the_widest_width() -> None:
    assert specs(gammas=(4, 12)) == [
        ("target", "native:gamma=0,width=16"),
        ("stock", "native:gamma=0,width=1"),
        ("candidate", "native:gamma=4,width=16"),
        ("candidate", "native:gamma=12"),
    ]


def test_others_and_the_worst_case_stand_beside() -> None:
    assert specs(others=("transformers:mode=assisted",), worst=True, stock=False)[2:] == [
        ("other", f"{WORST}:gamma=4,adaptive=false"),
        ("other", f"{WORST}:gamma=4,adaptive=true"),
        ("other", "transformers:mode=assisted"),
    ]


def test_native_arms_beside_share_the_width_unless_they_name_one() -> None:
    beside = ("native:gamma=12", "native:gamma=0,kernels=library", "native:gamma=2,width=32")
    assert specs(others=beside, stock=False) == [
        ("target", "native:gamma=0,width=16"),
        ("candidate", "native:gamma=4,width=16"),
        ("other", "native:gamma=12"),
        ("other", "native:gamma=0,kernels=library,width=16"),
        ("other", "native:gamma=2,width=32"),
    ]
    names = [arm.name for arm in arms_of(SETTINGS, drafts=(), others=beside)]
    assert names == ["target", "stock", "native:gamma=4", *beside]


def test_the_worst_case_drafts_as_the_first_native_candidate() -> None:
    drafts = (
        "transformers:mode=assisted,gamma=3",
        "native:contract=batch-invariant,adaptive=true,gamma=12,drafter=lookup",
    )
    arms = arms_of(SETTINGS, drafts=drafts, others=(), worst=True, stock=False)
    kept = "contract=batch-invariant,drafter=lookup"
    assert [arm.spec for arm in arms[-2:]] == [
        f"{WORST}:gamma=12,adaptive={choice},{kept}" for choice in ("false", "true")
    ]
    none = arms_of(SETTINGS, drafts=drafts[:1], others=(), worst=True, stock=False)
    assert [arm.name for arm in none[-2:]] == [
        f"{WORST}:gamma=3,adaptive={choice}" for choice in ("false", "true")
    ]


def test_two_arms_alike_are_refused() -> None:
    with pytest.raises(SettingsError, match="two arms are 'native:gamma=4'"):
        specs(drafts=("native:gamma=4", "native:gamma=4"))


def test_sweeps_are_read() -> None:
    sweeps = Sweeps.parse(["batch=4,1,2", "context=512"])
    assert sweeps == Sweeps(batch=(1, 2, 4), context=(512,))
    points = points_of(EngineSetup(), sweeps)
    assert [(point.batch_size, point.context, point.filled) for point in points] == [
        (1, 512, True),
        (2, 512, True),
        (4, 512, True),
    ]
    refilled = points_of(EngineSetup(), sweeps, refills=3)
    # A prompt by itself is a sample by itself.
    assert [point.refills for point in refilled] == [0, 3, 3]
    assert [point.together for point in refilled] == [1, 8, 16]
    with pytest.raises(SettingsError, match="--refills 3: there are no rows to refill at batch 1"):
        points_of(EngineSetup(batch_size=1), Sweeps(), refills=3)
    (single,) = points_of(EngineSetup(batch_size=1), Sweeps())
    assert (single.batch_size, single.context, single.filled) == (1, 1024, False)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["batches=1"], "has to be one of batch, gamma, context"),
        (["gamma=1", "gamma=2"], "has to be named once"),
        (["gamma=one"], "write gamma=1,2,4"),
        (["gamma=0,2"], "0 is below 1"),
    ],
)
def test_sweeps_that_cannot_be_read(given: list[str], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        Sweeps.parse(given)


def test_a_setting_that_no_engine_takes_is_refused() -> None:
    with pytest.raises(SettingsError, match=r"--sweep: batch_size: "):
        points_of(EngineSetup(), Sweeps(batch=(1, 65)))


def test_isolated_arms_and_those_of_tables_are_engines_too() -> None:
    tables = {"fast": EngineTable(engine="native", isolated=True)}
    settings = Settings(candidate="isolated:native:gamma=4", engine=tables)
    arms = arms_of(settings, drafts=("isolated:native:gamma=12", "fast:gamma=2"), others=())
    assert [arm.spec for arm in arms] == [
        "native:gamma=0,width=16",
        "native:gamma=0,width=1",
        "isolated:native:gamma=12",
        "fast:gamma=2",
    ]
    more = arms_of(settings, drafts=(), others=(), gammas=(2, 12), stock=False)
    assert [arm.spec for arm in more[1:]] == [
        "isolated:native:gamma=2,width=16",
        "isolated:native:gamma=12",
    ]
