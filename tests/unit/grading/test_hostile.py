"""Hostile texts and queries: nothing hangs, and none of them passes."""

from __future__ import annotations

import pytest

from equivcheck.core.graders import GradingLimits, Json, Regex, Sql
from equivcheck.grading.grade import grade

SOON = GradingLimits(seconds=1.0)
TABLE = Sql(fixture="CREATE TABLE t(a); INSERT INTO t VALUES (1);", rows=((1,),))


@pytest.mark.parametrize(
    ("query", "why"),
    [
        ("DROP TABLE t", "not authorized"),
        ("DELETE FROM t", "not authorized"),
        ("ATTACH 'stolen.db' AS other", "not authorized"),
        ("PRAGMA writable_schema = 1", "not authorized"),
        ("VACUUM INTO 'copy.db'", "authorization denied"),
        ("SELECT load_extension('evil')", "not authorized"),
        (
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n",
            "takes too long",
        ),
        (
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n",
            "more than 10,000 rows",
        ),
        ("SELECT zeroblob(1000000000)", "too big"),
        ("SELECT '\ud800'", "surrogates"),
        ("SELECT 1\0; DROP TABLE t", "null character"),
    ],
)
def test_hostile_queries_fail(query: str, why: str) -> None:
    graded = grade(query, grader=TABLE, limits=SOON)
    assert not graded.passed
    assert why in graded.why


def test_catastrophic_backtracking_ends() -> None:
    graded = grade("a" * 40 + "!", grader=Regex("(a+)+b"), limits=SOON)
    assert not graded.passed
    assert graded.why == "takes longer than 1 s"


def test_a_document_that_takes_too_much_memory_fails() -> None:
    document = "[" + "{}," * 1_000_000 + "{}]"
    assert grade(document, grader=Json()).passed
    small = GradingLimits(memory_mib=64)
    assert grade(document, grader=Json(), limits=small).why == "takes more than 64 MiB"
