from __future__ import annotations

from typing import Any

import pytest
from tokenizers import processors

from equivcheck.core.cases import Case, Message
from equivcheck.core.errors import SuiteError
from equivcheck.pairs.prompts import encode
from tests.unit.pairs.make import END, START, make_tokenizer


def chat(*turns: tuple[Any, str]) -> Case:
    return Case(id="chat", messages=tuple(Message(role=role, content=text) for role, text in turns))


def test_a_prompt_gets_no_token_that_the_tokenizer_does_not_add() -> None:
    tokenizer = make_tokenizer()
    token_ids = encode(tokenizer, Case(id="raw", prompt="hello wörld\n"))
    assert tokenizer.decode(token_ids) == "hello wörld\n"
    assert tokenizer.convert_ids_to_tokens(token_ids)[:2] == ["hello", "Ġw"]


def test_a_prompt_gets_the_leading_token_of_the_tokenizers_convention() -> None:
    tokenizer = make_tokenizer()
    plain = encode(tokenizer, Case(id="raw", prompt="hello"))
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{START} $A", special_tokens=[(START, 1)]
    )
    assert encode(tokenizer, Case(id="raw", prompt="hello")) == (1, *plain)


def test_messages_go_through_the_template_with_the_answers_header() -> None:
    tokenizer = make_tokenizer()
    token_ids = encode(tokenizer, chat(("user", "hello"), ("assistant", "12")))
    assert tokenizer.convert_ids_to_tokens(token_ids) == [
        *(START, "hello", END),
        *(START, "12", END),
        START,
    ]


def test_token_ids_are_taken_as_they_are() -> None:
    assert encode(make_tokenizer(), Case(id="ids", token_ids=(5, 0, 263))) == (5, 0, 263)


def test_long_prompts_are_not_cut() -> None:
    tokenizer = make_tokenizer()
    tokenizer.model_max_length = 8
    assert len(encode(tokenizer, Case(id="long", prompt="x" * 500))) == 500


@pytest.mark.parametrize(
    ("case", "message"),
    [
        (Case(id="ids", token_ids=(1, 264)), r"case ids: token_ids\[1\] is 264, outside .* of 264"),
        (Case(id="none", token_ids=()), "case none: its prompt encodes to no token"),
        (Case(id="none", prompt=""), "case none: its prompt encodes to no token"),
        (chat(("system", "be")), "the pair's chat template refuses its messages: no system turn"),
    ],
)
def test_what_cannot_be_continued_is_refused(case: Case, message: str) -> None:
    with pytest.raises(SuiteError, match=message):
        encode(make_tokenizer(), case)


def test_messages_without_a_template_are_refused() -> None:
    tokenizer = make_tokenizer(chat_template=None)
    with pytest.raises(SuiteError, match="has messages, but the pair's tokenizer has no chat temp"):
        encode(tokenizer, chat(("user", "hello")))


TOOLS = ({"type": "function", "function": {"name": "weather"}},)
TEMPLATE = """{% for tool in tools or [] %}{{ tool.function.name }}{% endfor %}
{%- for m in messages %}{% if m.role != "developer" %}{{ m.content }}
{%- for call in m.tool_calls or [] %}{{ call.function.arguments.city }}{% endfor %}{% endif %}
{%- endfor %}{{ mode }}"""


def test_tools_calls_and_words_for_the_template_reach_it() -> None:
    tokenizer = make_tokenizer()
    tokenizer.chat_template = TEMPLATE
    call = {"type": "function", "function": {"name": "weather", "arguments": {"city": "Oslo"}}}
    case = Case(
        id="tools",
        messages=(
            Message(role="user", content="hello"),
            Message(role="assistant", tool_calls=(call,)),
            Message(role="tool", content="4", tool_call_id="c1"),
        ),
        tools=TOOLS,
        chat_template_kwargs={"mode": "brief"},
    )
    assert tokenizer.decode(encode(tokenizer, case)) == "weatherhelloOslo4brief"


@pytest.mark.parametrize(
    ("case", "message"),
    [
        (
            Case(id="t", messages=(Message(role="user", content="x"),), tools=TOOLS),
            "case t: tools: the pair's chat template makes nothing of them",
        ),
        (
            Case(
                id="t",
                messages=(
                    Message(role="user", content="x"),
                    Message(role="assistant", content="y", tool_calls=TOOLS),
                ),
            ),
            r"case t: messages\[1\]: the pair's chat template makes nothing of tool_calls",
        ),
    ],
    ids=["tools", "calls"],
)
def test_what_a_template_passes_over_is_refused(case: Case, message: str) -> None:
    with pytest.raises(SuiteError, match=message):
        encode(make_tokenizer(), case)


def test_a_role_that_a_template_passes_over_is_refused() -> None:
    tokenizer = make_tokenizer()
    tokenizer.chat_template = TEMPLATE
    encode(tokenizer, chat(("system", "be"), ("user", "hello")))
    with pytest.raises(
        SuiteError, match=r"messages\[0\]: .* makes nothing of the role 'developer'"
    ):
        encode(tokenizer, chat(("developer", "be"), ("user", "hello")))
