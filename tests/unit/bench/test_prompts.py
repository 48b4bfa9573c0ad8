from __future__ import annotations

from collections.abc import Sequence

import msgspec
import pytest

from equivcheck.bench.prompts import at_point, requests_of
from equivcheck.core.cases import Case, Sampling, Suite
from equivcheck.core.errors import SuiteError
from equivcheck.core.generation import Request
from equivcheck.metrics.chunks import prompt_of
from equivcheck.metrics.records import Point
from tests.unit.make import suite_of


def make_suite(*cases: Case, workload: str = "code") -> Suite:
    return suite_of(cases, workload=workload)


def case(name: str, *, temperature: float = 0.0) -> Case:
    return Case(
        id=name,
        prompt="abc",
        max_new_tokens=64,
        sampling=Sampling(temperature=temperature),
    )


def requests(
    *suites: Suite, prompts: int = 2, tokens: int = 16, fill: int = 1
) -> dict[str, tuple[Request, ...]]:
    return requests_of(
        suites, prompts=prompts, tokens=tokens, fill=fill, encode=lambda case: (1, 2, 3)
    )


def keys(asked: Sequence[Request]) -> list[str]:
    return [request.key for request in asked]


def test_the_first_greedy_cases_ask_for_equal_work() -> None:
    suite = make_suite(case("a"), case("warm", temperature=0.7), case("b"), case("c"))
    (first, second) = requests(suite)["code"]
    assert keys([first, second]) == ["code/a", "code/b"]
    assert (first.max_new_tokens, first.ignore_eos, first.stop) == (16, True, ())


def test_chunks_are_filled_with_other_prompts_before_the_same_again() -> None:
    suite = make_suite(case("a"), case("b"), case("c"))
    found = requests(suite, prompts=1, fill=4)
    assert keys(found["code"])[:4] == ["code/a", "code/b", "code/c", "code/a~2"]
    (chunk,) = at_point(found, Point(batch_size=4, context=64))["code"]
    assert len(chunk) == 4
    (pair,) = at_point(requests(suite, prompts=1, fill=2), Point(batch_size=2, context=64))["code"]
    assert keys(pair) == ["code/a", "code/b"]


def test_every_size_asks_every_prompt_in_full_chunks_and_none_in_vain() -> None:
    names = "abcde"
    found = requests(make_suite(*map(case, names)), prompts=5, fill=8)
    for size in range(1, 9):
        chunks = at_point(found, Point(batch_size=size, context=64))["code"]
        assert {len(chunk) for chunk in chunks} == {size}
        assert len(chunks) == -(-len(names) // size)
        asked = [key for chunk in chunks for key in keys(chunk)]
        assert len(set(asked)) == len(asked)
        assert {prompt_of(key) for key in asked} == {f"code/{name}" for name in names}


def test_rows_that_are_refilled_have_their_further_prompts_in_the_chunk() -> None:
    names = "abcde"
    point = Point(batch_size=2, context=64, refills=2)
    found = requests(make_suite(*map(case, names)), prompts=5, fill=point.together)
    chunks = at_point(found, point)["code"]
    assert [len(chunk) for chunk in chunks] == [6]
    assert keys(chunks[0]) == [*(f"code/{name}" for name in names), "code/a~2"]
    assert point.name == "batch 2 refilled 2 times, context 64"
    assert msgspec.structs.replace(point, refills=1).name == "batch 2 refilled once, context 64"


def test_a_filled_context_is_full() -> None:
    found = requests(make_suite(case("a"), case("b")))
    chunks = at_point(found, Point(batch_size=1, context=64, filled=True))["code"]
    assert [len(chunk[0].prompt_ids) for chunk in chunks] == [48, 48]
    assert chunks[0][0].prompt_ids[-3:] == (1, 2, 3)


def test_what_cannot_be_measured_is_refused() -> None:
    with pytest.raises(SuiteError, match="no greedy case"):
        requests(make_suite(case("warm", temperature=1.0)))
    with pytest.raises(SuiteError, match="'code' is in another suite too"):
        requests(make_suite(case("a")), make_suite(case("b")))
    small = Point(batch_size=1, context=16, filled=True)
    with pytest.raises(SuiteError, match="need 19 positions, the context is 16"):
        at_point(requests(make_suite(case("a"))), small)
