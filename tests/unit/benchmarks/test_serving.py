"""How rows of two arms are compared and counted; the measurement itself is run by hand."""

from __future__ import annotations

from benchmarks.serving import in_turn, rows_differing, totals
from equivcheck.core.generation import Generation, Request


def answer(*tokens: int, bits: tuple[int, ...]) -> Generation:
    return Generation(
        key="a", token_ids=tokens, finish_reason="length", prompt_tokens=1, logit_digests=bits
    )


def test_rows_that_both_arms_have_are_compared() -> None:
    one, same = answer(1, 2, bits=(7, 8)), answer(1, 2, bits=(7, 8))
    other = answer(1, 3, 4, bits=(7, 9, 9))
    only = {"b": answer(5, bits=(5,))}
    equal = rows_differing({"a": one} | only, {"a": same})
    assert equal == {"rows": 2, "rows_with_other_bits": 0, "requests_with_other_tokens": 0}
    differing = rows_differing({"a": one}, {"a": other})
    assert differing == {"rows": 2, "rows_with_other_bits": 1, "requests_with_other_tokens": 1}
    assert totals([{"x": equal}, {"x": differing}], "x") == {
        "rows": 4,
        "rows_with_other_bits": 1,
        "requests_with_other_tokens": 1,
    }


def test_requests_come_two_a_step() -> None:
    requests = [Request(key=str(each), prompt_ids=(1,), max_new_tokens=1) for each in range(5)]
    schedule = in_turn(requests, prefix_tokens=64)
    assert [each.arrives.step for each in schedule.arrivals] == [0, 0, 1, 1, 2]
    assert schedule.limits.prefix_tokens == 64
