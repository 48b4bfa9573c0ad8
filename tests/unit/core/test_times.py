"""A suite's times: read, refused by file, line and field, and made into a schedule."""

from __future__ import annotations

from pathlib import Path

import pytest

from equivcheck.core.errors import SuiteError
from equivcheck.core.load_suites import load_suite, load_suites
from equivcheck.core.schedule import waves
from equivcheck.core.service_schedule import Arrival, schedule_of
from equivcheck.core.times import Arrives, Delay, Patience, ServingLimits

HEADER = '{"equivcheck": 1, "workload": "p", "serving": {"live_tokens": 256}}'
SUITES = Path(__file__).parents[3] / "suites"


def write(folder: Path, *lines: str, header: str = HEADER) -> str:
    file = folder / "p.jsonl"
    file.write_text("".join(f"{line}\n" for line in (header, *lines)))
    return str(file)


def test_a_schedule_is_made_of_the_cases(tmp_path: Path) -> None:
    turn = '"session": "s", "prompt": "x"'
    suite = load_suite(
        write(
            tmp_path,
            '{"id": "a", "prompt": "x", "arrives": {"step": 3, "wave": 1}}',
            '{"id": "b", "prompt": "x", "give_up_after": {"tokens": 2}, "retry": {"seconds": 0.5}}',
            f'{{"id": "c", {turn}}}',
            f'{{"id": "d", {turn}, "after": "b", "give_up_after": {{"milliseconds": 15}}}}',
        )
    )
    assert suite.timed
    schedule = schedule_of(suite)
    assert schedule.limits == ServingLimits(live_tokens=256)
    assert schedule.demands == ("given up", "retried")
    assert schedule.arrivals == (
        Arrival(key="p/a", arrives=Arrives(step=3, wave=1)),
        Arrival(key="p/b", give_up_after=Patience(tokens=2), retry=Delay(seconds=0.5)),
        Arrival(key="p/c"),
        Arrival(key="p/d", after=("p/c", "p/b"), give_up_after=Patience(milliseconds=15)),
    )
    assert not schedule.by_steps
    assert waves(suite.cases) == {"a": 1, "b": 0, "c": 0, "d": 1}


def test_of_fewer_requests_less_is_demanded(tmp_path: Path) -> None:
    suite = load_suite(
        write(
            tmp_path,
            '{"id": "a", "prompt": "x", "give_up_after": {"tokens": 2}}',
            '{"id": "b", "prompt": "x", "after": "a"}',
        )
    )
    (left,) = schedule_of(suite).among(["p/b"]).arrivals
    assert left == Arrival(key="p/b")
    assert schedule_of(suite).among(["p/b"]).demands == ()


def test_only_suites_with_times_have_any() -> None:
    timed = {suite.workload for suite in load_suites([SUITES]) if suite.timed}
    assert timed == {"pressure", "long"}


ARRIVES = '{{"id": "a", "prompt": "x", "arrives": {}}}'
GIVE_UP = '{{"id": "a", "prompt": "x", "give_up_after": {}}}'


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (ARRIVES.format('{"step": -1}'), "arrives.step: "),
        (ARRIVES.format('{"steps": 1}'), "arrives.steps: unknown key (did you mean 'step'?)"),
        (ARRIVES.format('{"step": 1, "seconds": 1}'), "arrives: one of step and seconds, not both"),
        (ARRIVES.format('{"seconds": 1e9}'), "arrives.seconds: "),
        (ARRIVES.format("3"), "arrives: "),
        (GIVE_UP.format("{}"), "give_up_after: exactly one of tokens and milliseconds"),
        (GIVE_UP.format('{"tokens": 1, "milliseconds": 1}'), "give_up_after: exactly one of"),
        (GIVE_UP.format('{"tokens": 1.5}'), "give_up_after.tokens: "),
        ('{"id": "a", "prompt": "x", "retry": {"step": 1}}', "retry: only of a request that is"),
        (GIVE_UP.format('{"tokens": 1}, "retry": {"wave": 1}'), "retry.wave: unknown key"),
    ],
)
def test_what_is_wrong_is_told_by_line_and_field(tmp_path: Path, line: str, told: str) -> None:
    path = write(tmp_path, line)
    with pytest.raises(SuiteError) as caught:
        load_suite(path)
    assert str(caught.value).startswith(f"{path}:2: {told}")


def test_a_later_turn_needs_an_answer(tmp_path: Path) -> None:
    first = '{"id": "a", "session": "s", "prompt": "x", "give_up_after": {"tokens": 1}}'
    path = write(tmp_path, first, '{"id": "b", "session": "s", "prompt": "x"}')
    with pytest.raises(SuiteError, match=r":3: session: this turn needs an answer to 'a'"):
        load_suite(path)


def test_a_suite_of_distribution_has_no_times(tmp_path: Path) -> None:
    path = write(tmp_path, ARRIVES.format('{"step": 1}'), header=HEADER[:-1] + ', "law": true}')
    with pytest.raises(SuiteError, match=r":2: arrives: the cases of a suite whose header"):
        load_suite(path)


def test_limits_are_checked(tmp_path: Path) -> None:
    path = write(tmp_path, header=HEADER.replace("256", "0"))
    with pytest.raises(SuiteError, match=r":1: serving.live_tokens: "):
        load_suite(path)
