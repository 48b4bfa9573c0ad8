"""Right answers pass, wrong ones fail with a reason, unusable graders are errors."""

from __future__ import annotations

import msgspec
import pytest

from equivcheck.core.graders import (
    Exact,
    Grader,
    GradingError,
    Json,
    Python,
    Regex,
    Sql,
    grader_of,
)
from equivcheck.grading.fences import unfenced
from equivcheck.grading.grade import grade
from tests.unit.grading.contained import skip_where_uncontained

SHOP = """
CREATE TABLE customers(id INTEGER PRIMARY KEY, name TEXT);
INSERT INTO customers VALUES (1, 'Ada'), (2, 'Bo'), (3, 'Cy');
CREATE TABLE orders(customer_id INTEGER, total REAL);
INSERT INTO orders VALUES (1, 0.1), (1, 0.2), (2, 5.0);
"""
NAMES = Sql(fixture=SHOP, rows=(("Bo",), ("Ada",), ("Cy",)))
NAMES_IN_ORDER = Sql(fixture=SHOP, rows=(("Ada",), ("Bo",), ("Cy",)), ordered=True)
SUM = Sql(fixture=SHOP, rows=((0.3,), (5,)), prefix="SELECT")
DOUBLE = Python(tests="assert double(2) == 4\n\ndef test_text():\n    assert double('a') == 'aa'\n")
DOUBLED = "def double(value): return value * 2"
ANNOTATIONS = "double.__annotations__.values()"
ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i FROM n) SELECT max(i) FROM n"
PERSON = Json(
    schema={
        "type": "object",
        "properties": {"age": {"type": "integer", "minimum": 0}},
        "required": ["age"],
    }
)

RIGHT: list[tuple[Grader, str]] = [
    (Exact("a-b"), " a-b\n"),
    (Regex("(?s)\\s*a-b.*"), "\n a-b  # joined\nmore"),
    (Json(), "```json\n[1, 2]\n```"),
    (Json(prefix="{"), '"a": 1}'),
    (Json(prefix="{"), '"a": 1}\n```\nThat is all.'),
    (PERSON, 'Here it is:\n```\n{"age": 3}\n```\nDone.'),
    (NAMES, "SELECT name FROM customers;"),
    (NAMES_IN_ORDER, "```sql\nSELECT name FROM customers ORDER BY id\n```"),
    (SUM, " sum(total) FROM orders GROUP BY customer_id"),
    (DOUBLE, "def double(value):\n    return value * 2\n"),
    (Python(tests=DOUBLE.tests, prefix="def double(value):\n"), "    return value * 2\n"),
    (Python(tests="def check(f):\n    assert f(2) == 4\ncheck(double)"), DOUBLED),
    (Python(tests="test_cases = [1]\nfor each in test_cases: assert double(each)"), DOUBLED),
    (DOUBLE, "import decimal, difflib\ndef double(value):\n    return value + value\n"),
    (DOUBLE, "from dataclasses import dataclass\n@dataclass\nclass A:\n    x: int\n" + DOUBLED),
    (DOUBLE, "def double(value: int) -> int: return value * 2\nassert int in " + ANNOTATIONS),
    (DOUBLE, "import asyncio\nasync def none(): pass\nasyncio.run(none())\n" + DOUBLED),
    (DOUBLE, "open('mine.txt', 'w').write('kept here')\ndouble = lambda value: value * 2"),
]


@pytest.mark.parametrize(("grader", "answer"), RIGHT)
def test_a_right_answer_passes(grader: Grader, answer: str) -> None:
    skip_where_uncontained(grader)
    graded = grade(answer, grader=grader)
    assert graded.passed, graded.why


WRONG: list[tuple[Grader, str, str]] = [
    (Exact("a-b"), "a\x1bb", "is 'a\\x1bb', not 'a-b'"),
    (Regex("a"), "ab", "does not match"),
    (Json(), "{'a': 1}", "is no JSON"),
    (Json(), "[NaN]", "NaN is not JSON"),
    (Json(), '{"a": 1, "a": 2}', "a key stands twice"),
    (Json(prefix="{"), '"a": broken\n```\n}\n', "is no JSON"),
    (Json(), "[" * 200_000, "is no JSON"),
    (Json(), "\ud800", "is no JSON"),
    (PERSON, '{"age": -1}', "$.age: -1 is less than"),
    (Sql(fixture=SHOP, rows=()), "-- I do not know", "is no query"),
    (NAMES, "SELECT name FROM customer", "no such table: customer"),
    (NAMES, "SELECT 1; SELECT 2", "one statement at a time"),
    (NAMES, "SELECT name FROM customers LIMIT 2", "returns 2 rows, not 3"),
    (NAMES, "SELECT id FROM customers", "not expected: (1,)"),
    (NAMES_IN_ORDER, "SELECT name FROM customers ORDER BY id DESC", "in another order"),
    (DOUBLE, "", "no code"),
    (DOUBLE, "def double(value:", "SyntaxError"),
    (DOUBLE, "double = 1", "TypeError: 'int' object is not callable (line 1 of the tests)"),
    (DOUBLE, "def double(value):\n    return 4", "AssertionError (line 4 of the tests)"),
    (DOUBLE, "import msgspec", "No module named 'msgspec'"),
    (DOUBLE, "import equivcheck.grading.grade", "No module named"),
    (DOUBLE, "x = 'a\0b'", "null bytes"),
]


@pytest.mark.parametrize(("grader", "answer", "why"), WRONG)
def test_a_wrong_answer_fails_with_a_reason(grader: Grader, answer: str, why: str) -> None:
    skip_where_uncontained(grader)
    graded = grade(answer, grader=grader)
    assert not graded.passed
    assert why in graded.why


def test_a_schema_that_is_elsewhere_is_an_error() -> None:
    with pytest.raises(GradingError, match="schema: "):
        grade("{}", grader=Json(schema={"$ref": "https://example.org/schema"}))


@pytest.mark.parametrize("grader", [grader for grader, _ in RIGHT])
def test_graders_survive_json(grader: Grader) -> None:
    assert grader_of(msgspec.json.decode(msgspec.json.encode(grader))) == grader


@pytest.mark.parametrize(
    ("record", "why"),
    [
        ({"kind": "regex", "pattern": "("}, "pattern: "),
        ({"kind": "python", "tests": "double(2)"}, "assert nothing"),
        ({"kind": "python", "tests": "assert ("}, "tests: "),
        ({"kind": "python", "tests": "def check(f):\n    assert f(1)"}, "put it into a function"),
        ({"kind": "python", "tests": "class T:\n  def test_a(s): assert f()"}, "is ever reached"),
        ({"kind": "python", "tests": "async def test_a(): assert f()"}, "test_a is async"),
        ({"kind": "python", "tests": "lambda: f()\ndef g(): assert f()"}, "is ever reached"),
        ({"kind": "json", "schema": {"type": "objekt"}}, r"schema: \$.type: 'objekt' is not"),
        ({"kind": "sql", "fixture": "CREATE TABEL x", "rows": []}, "fixture: near"),
        ({"kind": "sql", "fixture": "VACUUM INTO 'x.db'", "rows": []}, "authorization denied"),
        ({"kind": "sql", "fixture": ENDLESS, "rows": []}, "fixture: interrupted"),
        ({"kind": "exact", "answer": "a", "anser": "b"}, "anser"),
        ({"kind": "exakt", "answer": "a"}, "exakt"),
    ],
)
def test_a_broken_grader_is_refused_where_it_is_read(record: object, why: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=why):
        grader_of(record)


@pytest.mark.parametrize(
    ("answer", "inside"),
    [
        ("plain\n", "plain\n"),
        ("Sure:\n```py\na\n```\nand\n```\nb\n```", "a\n"),
        ("~~~\na\n```\n~~~", "a\n```\n"),
        ("````\n```\nx\n```\n````", "```\nx\n```\n"),
        ("```python\ncut off", "cut off"),
        ("inline ```code``` only", "inline ```code``` only"),
    ],
)
def test_fences_come_off(answer: str, inside: str) -> None:
    assert unfenced(answer) == inside


@pytest.mark.parametrize(
    ("answer", "inside"),
    [
        ("    return a\n```\nThat is it.", "    return a\n"),
        ("\n```python\nwhole\n```", "whole\n"),
        ("no fence", "no fence"),
    ],
)
def test_a_fence_ends_what_the_prompt_began(answer: str, inside: str) -> None:
    assert unfenced(answer, begun=True) == inside
