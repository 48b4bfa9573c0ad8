"""The graders of the suites know a right answer from a wrong one."""

from __future__ import annotations

import pytest

from equivcheck.core.graders import KINDS, Grader
from equivcheck.core.load_suites import load_suites
from equivcheck.grading.grade import grade
from tests.unit.grading.contained import skip_where_uncontained
from tests.unit.source import ROOT

GRADERS: dict[str, Grader] = {
    suite.key(case): case.grader
    for suite in load_suites([ROOT / "suites"])
    for case in suite.cases
    if case.grader
}
RIGHT = {
    "chat/two-dates": "There are 19 days.",
    "chat/git-undo-commit": "Run `git reset --soft HEAD~1`.",
    "chat/pros-cons-table": "Here:\n\n| a | b |\n|---|---|\n| 1 | 2 |",
    "chat/yes-no-fish": "No, it is a mammal",
    "chat/band-name-sampled": "1. Cold Front\n10. The Drizzles",
    "code/fib-iterative": "    a, b = 0, 1\n    for _ in range(n): a, b = b, a + b\n    return a",
    "code/binary-search": """\
        mid = (low + high) // 2
        if values[mid] < wanted:
            low = mid + 1
        else:
            high = mid
    return low
""",
    "code/ring-buffer-class": """\
        end = (self._start + self._length) % len(self._items)
        self._items[end] = item
        if self._length == len(self._items):
            self._start = (self._start + 1) % len(self._items)
        else:
            self._length += 1
""",
    "code/retry-decorator": """\
            for left in range(attempts - 1, -1, -1):
                try:
                    return function(*args, **kwargs)
                except exceptions:
                    if not left:
                        raise
        return wrapper
    return decorate
""",
    "code/nested-ifs-refactor": """\
```python
def shipping_cost(order):
    if order is None:
        raise ValueError("no order")
    if not order.items or order.total >= 50:
        return 0
    return 9.9 if order.express else 4.9
```
""",
    "code/assert-answer-regex": " 'a-b'",
    "code/commit-message-sampled": "Read the fetch timeout from FETCH_TIMEOUT",
    "code/python-topk-sampled": """\
    while queue:
        length, node = heappop(queue)
        for other, weight in graph[node]:
            if length + weight < distance.get(other, float("inf")):
                distance[other] = length + weight
                heappush(queue, (distance[other], other))
    return distance
""",
    "json_sql/person-record": ' "Lovelace", "born": 1815}',
    "json_sql/extract-invoice": ' {"number": "5512", "date": "2025-07-01", "total": 1300, '
    '"currency": "USD"}',
    "json_sql/sentiment-label": '{"label": "positive"}',
    "json_sql/function-call": '{"name": "set_alarm", "arguments": {"time": "06:30", "label": ""}}',
    "json_sql/sql-top-customers": " c.name FROM customers c JOIN orders o ON o.customer_id = c.id",
    "json_sql/sql-left-join": " l.product_id = p.id\nWHERE l.id IS NULL",
    "json_sql/sql-window-running-total": "\n  PARTITION BY account_id ORDER BY booked_on\n) AS t",
    "json_sql/csv-to-json": """```json
[{"city": "Lyon", "population": 522250, "elevation": 173},
 {"city": "Graz", "population": 303270, "elevation": 353},
 {"city": "Bergen", "population": 291940, "elevation": 12}]
```""",
    "json_sql/order-event-sampled": ' "customer": "c-1", "items": [], "placed_at": "2025-01-15"}',
    "multilingual/fr-traduire": " Je voudrais une table près de la fenêtre.",
    "creative/two-word-ending": ' "Come home',
}


def test_every_grader_is_tried_and_every_kind_is_there() -> None:
    assert RIGHT.keys() == GRADERS.keys()
    assert {type(grader) for grader in GRADERS.values()} == {*KINDS.values()}


@pytest.mark.parametrize("key", RIGHT)
def test_a_right_answer_passes_and_another_does_not(key: str) -> None:
    skip_where_uncontained(GRADERS[key])
    assert grade(RIGHT[key], grader=GRADERS[key]).passed
    assert not grade("one two three", grader=GRADERS[key]).passed
