"""Cases that no engine could serve are refused in one sentence, before any is opened."""

from __future__ import annotations

import pytest

from equivcheck.capture.fit import (
    limited,
    refuse_beyond_models,
    refuse_too_long,
    refuse_unknown_ids,
)
from equivcheck.core.cases import Sampling
from equivcheck.core.errors import SettingsError, SuiteError
from equivcheck.core.settings import Settings
from equivcheck.pairs.extent import Extent
from tests.unit.make import VOCAB, make_asked, make_request

SHORT = make_request("code/short", max_new_tokens=61)
"""64 positions with its prompt of 3."""


def test_what_fits_is_not_refused() -> None:
    asked = [make_asked(SHORT)]
    refuse_too_long(asked, context=64)
    refuse_unknown_ids(asked, vocab=VOCAB)
    refuse_too_long([], context=64)
    refuse_unknown_ids([], vocab=VOCAB)


def test_too_long_cases_are_counted_and_the_setting_named() -> None:
    long, longest = (
        make_request(f"code/{name}", max_new_tokens=tokens)
        for name, tokens in (("long", 62), ("longest", 97))
    )
    asked = [make_asked(each) for each in (SHORT, longest, long)]
    with pytest.raises(SettingsError) as told:
        refuse_too_long(asked, context=64)
    assert str(told.value) == (
        "2 of 3 cases need more than the context of 64 positions, the largest (code/longest) 100; "
        "say --set setup.context=100, or take them out of the suite"
    )
    refuse_too_long(asked, context=100)
    with pytest.raises(SettingsError, match=r"^1 of 3 cases needs more"):
        refuse_too_long(asked, context=99)


def test_cases_beyond_a_model_are_counted_and_the_model_named() -> None:
    long, longest = (
        make_request(f"code/{name}", max_new_tokens=tokens)
        for name, tokens in (("long", 62), ("longest", 97))
    )
    asked = [make_asked(each) for each in (SHORT, longest, long)]
    extents = {"target": Extent(positions=100), "draft": Extent(positions=64)}
    with pytest.raises(SettingsError) as told:
        refuse_beyond_models(asked, extents)
    assert str(told.value) == (
        "2 of 3 cases need more than the 64 positions that the config of the draft names, the "
        "largest (code/longest) 100; set setup.pair to one whose draft has as many, or take them "
        "out of the suite"
    )
    refuse_beyond_models(asked, {"target": Extent(positions=100), "draft": Extent()})
    refuse_beyond_models([], extents)


@pytest.mark.parametrize(
    "fields",
    [
        {"prompt_ids": (5, VOCAB)},
        {"stop_token_ids": (VOCAB,)},
        {"sampling": Sampling(logit_bias={VOCAB: 1.0})},
        {"sampling": Sampling(banned_tokens=(VOCAB,))},
    ],
)
def test_ids_outside_the_vocabulary_are_named_by_file_and_line(fields: dict[str, object]) -> None:
    asked = [make_asked(SHORT), make_asked(make_request("code/wild", **fields), line=7)]
    with pytest.raises(SuiteError) as told:
        refuse_unknown_ids(asked, vocab=VOCAB)
    assert str(told.value) == (
        f"suites/code.jsonl:7: token id {VOCAB} is outside the pair's vocabulary of {VOCAB}, as in "
        f"1 of 2 cases"
    )


@pytest.mark.parametrize(
    ("target", "candidate", "expected"),
    [
        ("native:gamma=0", "native:gamma=4", True),
        ("transformers:mode=plain", "theirs", True),
        ("replay:file=a", "native", True),
        ("replay:file=a", "vllm", True),
        ("replay:file=a", "openvino", True),
        ("replay:file=a", "theirs:x=1", False),
    ],
)
def test_only_engines_known_to_refuse_are_spoken_for(
    target: str, candidate: str, expected: bool
) -> None:
    assert limited(Settings(target=target, candidate=candidate)) is expected
