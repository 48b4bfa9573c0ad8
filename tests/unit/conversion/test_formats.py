"""Each format of other tools: what becomes of it, and what is listed as lost."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from equivcheck.conversion.convert import READERS, Conversion, Wanted, convert
from equivcheck.core.cases import Case
from equivcheck.core.errors import SuiteError
from equivcheck.core.foreign import FORMATS
from equivcheck.core.load_suites import load_suite

Convert = Callable[..., tuple[Conversion, list[Case]]]


@pytest.fixture
def carried(tmp_path: Path) -> Convert:
    def convert_records(
        *records: Any, name: str = "given.jsonl", **wanted: Any
    ) -> tuple[Conversion, list[Case]]:
        file = tmp_path / name
        file.write_text("".join(json.dumps(record) + "\n" for record in records))
        made = convert(file, Wanted(**wanted))
        return made, [case for each in cases_of(made, tmp_path).values() for case in each]

    return convert_records


def cases_of(made: Conversion, folder: Path) -> dict[str, tuple[Case, ...]]:
    """What the suites hold once they are written and read as any other."""
    found = {}
    for suite in made.suites:
        place = folder / "made.jsonl"
        place.write_text(suite.text)
        found[suite.workload] = load_suite(place).cases
    return found


def lost(made: Conversion) -> dict[str, int]:
    return {loss.what: loss.records for loss in made.not_carried}


def changed(made: Conversion) -> dict[str, int]:
    return {loss.what: loss.records for loss in made.changed}


def body(**more: Any) -> dict[str, Any]:
    return {"model": "m", "messages": [{"role": "user", "content": "Is 91 prime?"}], **more}


def test_every_known_format_has_a_reader() -> None:
    assert [known.name for known in FORMATS] == list(READERS)


def test_a_batch_request_keeps_how_it_was_asked(carried: Convert) -> None:
    asked = body(
        max_tokens=32, temperature=0.7, top_p=0.9, top_k=-1, seed=7, stop="\n", min_tokens=2
    )
    made, [case] = carried(
        {"custom_id": "Request 2", "method": "POST", "url": "/v1/chat/completions", "body": asked}
    )
    assert (made.format, case.id, case.max_new_tokens) == ("openai-batch", "request-2", 32)
    assert (case.sampling.temperature, case.sampling.top_p, case.sampling.top_k) == (0.7, 0.9, 0)
    assert (case.stop, case.seed, case.sampling.min_new_tokens) == (("\n",), 7, 2)
    assert lost(made) == {"body.model": 1}
    assert changed(made) == {"top_k: -1": 1}


def test_n_answers_are_n_cases_with_seeds_of_their_own(carried: Convert) -> None:
    made, cases = carried({"request": body(n=3, seed=2**32 - 1, temperature=1)})
    assert [case.seed for case in cases] == [2**32 - 1, 0, 1]
    assert len({case.id for case in cases}) == 3
    assert "n" in changed(made)


def test_what_constrains_an_answer_is_not_carried_over_and_said(carried: Convert) -> None:
    made, _ = carried(
        {"request": body(response_format={"type": "json_object"}, logprobs=True, made_up=1)},
        {"request": body(response_format={"type": "json_object"})},
    )
    assert lost(made) == {
        "request.model": 2,
        "request.response_format": 2,
        "request.logprobs": 1,
        "request.made_up": 1,
    }


def test_tools_their_calls_and_parts_of_content_reach_the_case(carried: Convert) -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "w", "arguments": '{"c": "Oslo"}'}}
    tool = {"type": "function", "function": {"name": "w", "parameters": {"type": "object"}}}
    parts = [{"type": "text", "text": "one"}, {"type": "text", "text": "two"}]
    messages = [
        {"role": "developer", "content": "You call tools."},
        {"role": "user", "content": parts},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": '{"c": 4}'},
    ]
    request = body(messages=messages, tools=[tool], tool_choice="auto")
    made, [case] = carried(
        {"request": request | {"chat_template_kwargs": {"enable_thinking": False}}}
    )
    assert case.messages is not None
    assert [message.role for message in case.messages] == ["developer", "user", "assistant", "tool"]
    assert case.messages[1].content == "one\ntwo"
    assert case.messages[2].tool_calls[0]["function"]["arguments"] == {"c": "Oslo"}
    assert case.messages[3].tool_call_id == "c1"
    assert (case.tools, case.chat_template_kwargs) == ((tool,), {"enable_thinking": False})
    assert lost(made) == {"request.model": 1}
    assert changed(made)["content in parts"] == 1


def test_an_image_leaves_its_record_out_with_the_reason(carried: Convert) -> None:
    picture = [{"type": "image_url", "image_url": {"url": "data:"}}]
    made, cases = carried(
        {"request": body(messages=[{"role": "user", "content": picture}])}, {"request": body()}
    )
    assert len(cases) == 1
    [loss] = made.left_out
    assert (loss.records, loss.places) == (1, ("line 1",))
    assert "image_url" in loss.why


def test_sharegpt_turns_are_a_session(carried: Convert) -> None:
    said = [("system", "Be brief."), ("human", "A?"), ("gpt", "B."), ("human", "C?"), ("gpt", "D.")]
    record = {"id": "aB_0", "conversations": [{"from": who, "value": text} for who, text in said]}
    made, cases = carried(record, name="x.json")
    assert [case.id for case in cases] == ["ab_0-t1", "ab_0-t2"]
    texts = [[message.content for message in case.messages or ()] for case in cases]
    assert texts == [["Be brief.", "A?"], ["C?"]]
    assert [case.session for case in cases] == ["ab_0-t1", "ab_0-t1"]
    assert lost(made) == {"the last answer": 1, "answers between turns": 1}


def test_questions_in_turns_are_sessions_of_their_own(carried: Convert) -> None:
    made, cases = carried(
        {"question_id": 81, "category": "writing", "turns": ["Write.", "Rewrite."]},
        {"question_id": 111, "category": "math", "turns": ["2+2?", "+1?"], "reference": ["4", "5"]},
    )
    assert [case.id for case in cases] == ["81-t1", "81-t2", "111-t1", "111-t2"]
    assert [case.session for case in cases] == ["81-t1", "81-t1", "111-t1", "111-t1"]
    assert lost(made) == {"reference": 1, "answers between turns": 1}


def test_two_conversations_of_one_name_are_two_sessions(carried: Convert) -> None:
    _, cases = carried(*({"question_id": "q", "turns": [text, "More."]} for text in ("A?", "B?")))
    assert [case.session for case in cases] == ["q-t1", "q-t1", "q-t1-2", "q-t1-2"]
    _, [alone] = carried({"question_id": "q", "turns": ["A?"]})
    assert alone.session is None


def test_categories_can_become_suites_of_their_own(carried: Convert, tmp_path: Path) -> None:
    made, _ = carried(
        {"question_id": "a", "category": "Math & Code", "turns": ["2+2?"]},
        {"question_id": "a", "category": "qa", "turns": ["Who?"], "difficulty": "easy"},
        by_category=True,
        workload="speed",
    )
    assert {*cases_of(made, tmp_path)} == {"speed-math-code", "speed-qa"}
    assert lost(made) == {"difficulty": 1}


def test_a_placeholder_of_speed_bench_is_no_prompt(carried: Convert) -> None:
    with pytest.raises(SuiteError, match=r"prepare\.py fetches the text"):
        carried({"turns": ["FULL BENCHMARK DATA SHOULD BE FETCHED FROM THE SOURCE USING X"]})


def test_likelihoods_of_lm_eval_are_left_out_and_filters_are_not_asked_twice(
    carried: Convert,
) -> None:
    asked = ["Question: 2+2?\nAnswer:", {"until": ["Question:"], "do_sample": False}]
    named = {"gen_args_0": {"arg_0": asked[0], "arg_1": asked[1]}}
    doc = {"question": "2+2?", "answer": "#### 4"}
    made, [case] = carried(
        {"doc_id": 0, "doc": doc, "target": "#### 4", "arguments": named, "filter": "strict"},
        {"doc_id": 0, "doc": doc, "target": "#### 4", "arguments": [asked], "filter": "flexible"},
        {"doc_id": 1, "doc": {}, "arguments": [["A sky is", " blue"]]},
    )
    assert (case.id, case.stop, case.max_new_tokens) == ("doc-0", ("Question:",), 256)
    assert case.grader is not None
    assert [(loss.records, loss.places) for loss in made.left_out] == [
        (1, ("line 2",)),
        (1, ("line 3",)),
    ]


def test_an_inspect_log_is_asked_as_its_model_was(carried: Convert) -> None:
    asked = [
        {"role": "system", "content": "Think."},
        {"role": "user", "content": "2+2?", "id": "m"},
    ]
    sample = {"id": 7, "epoch": 1, "input": "2+2?", "target": "4"}
    sample["messages"] = [*asked, {"role": "assistant", "content": "4"}]
    config = {"temperature": 0.5, "max_tokens": 20, "max_connections": 8}
    log = {
        "version": 2,
        "eval": {"task": "t", "model_generate_config": config},
        "samples": [sample, sample | {"epoch": 2}],
    }
    made, [case] = carried(log, name="log.json")
    assert [message.content for message in case.messages or ()] == ["Think.", "2+2?"]
    assert (case.id, case.max_new_tokens, case.sampling.temperature) == ("7", 20, 0.5)
    assert lost(made) == {"target": 1}
    assert [loss.why for loss in made.left_out] == ["another epoch of a sample that is there"]


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzip"])
def test_lines_of_text_are_prompts(tmp_path: Path, packed: bool) -> None:
    file = tmp_path / "Prompts.txt.gz"
    text = b"Once upon a time\n\n  def f(x):\n"
    file.write_bytes(gzip.compress(text) if packed else text)
    made = convert(file, Wanted(most_tokens=8, temperature=0.5))
    [(workload, cases)] = cases_of(made, tmp_path).items()
    assert workload == "prompts"
    assert [case.prompt for case in cases] == ["Once upon a time", "  def f(x):"]
    assert {(case.max_new_tokens, case.sampling.temperature) for case in cases} == {(8, 0.5)}


def test_any_column_can_hold_the_prompt(carried: Convert) -> None:
    record = {"prompt": "def f():", "src": "HumanEval"}
    made, [case] = carried(record)
    assert (made.format, case.prompt, lost(made)) == ("column", "def f():", {"src": 1})
    _, [case] = carried({"body_text": "x y"}, column="body_text")
    assert case.prompt == "x y"
    with pytest.raises(SuiteError, match=r"no known format; its first record has body_text; name"):
        carried({"body_text": "x y"})


def test_broken_lines_are_counted_and_the_others_carried(tmp_path: Path) -> None:
    file = tmp_path / "x.jsonl"
    file.write_bytes(b'{"prompt": "a"}\n{"prompt": \n[1]\n{"prompt": "\\ud800"}\n{"prompt": "b"}\n')
    made = convert(file, Wanted())
    assert [suite.cases for suite in made.suites] == [2]
    assert sum(loss.records for loss in made.left_out) == 3
    assert made.records == 5


def test_the_rest_behind_the_first_records_is_said(carried: Convert) -> None:
    made, cases = carried(*({"prompt": f"p {at}"} for at in range(5)), first=2)
    assert (len(cases), made.records) == (2, 5)
    [rest] = made.left_out
    assert (rest.records, rest.why) == (3, "behind the first 2, as asked for")


def test_long_answers_are_cut_to_what_was_asked_for(carried: Convert) -> None:
    made, [case] = carried({"request": body(max_tokens=100_000)}, most_tokens=64)
    assert case.max_new_tokens == 64
    assert "max_new_tokens" in changed(made)
