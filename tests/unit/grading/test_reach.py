"""How the tests of an answer reach what its code defines, which runs in another process."""

from __future__ import annotations

import pytest

from equivcheck.core.graders import Python
from equivcheck.grading.grade import grade
from tests.unit.grading.contained import needs_bubblewrap

pytestmark = needs_bubblewrap

SHARED: dict[str, tuple[str, str]] = {
    "a list that is sorted in place": (
        """
def order(numbers):
    numbers.sort()
""",
        """
numbers = [3, 1, 2]
order(numbers)
assert numbers == [1, 2, 3]
""",
    ),
    "parts of what is given": (
        """
def fill(tree):
    tree['a'].append(2)
    tree['b'] = {3}
""",
        """
leaf = [1]
tree = {'a': leaf}
fill(tree)
assert leaf == [1, 2] and tree['b'] == {3}
""",
    ),
    "an object of the answer's": (
        """
class Stack:
    def __init__(self): self.items = []
    def push(self, item): self.items.append(item); return self
    def __len__(self): return len(self.items)
    def __iter__(self): return iter(self.items)
    def __contains__(self, item): return item in self.items
    def __getitem__(self, at): return self.items[at]
    def __eq__(self, other): return self.items == other.items
    def __add__(self, other): return self.push(other[0])
""",
        """
stack = Stack().push(1).push(2)
assert isinstance(stack, Stack) and len(stack) == 2 and list(stack) == [1, 2]
assert 2 in stack and 3 not in stack and stack[0] == 1 and stack[:1] == [1]
assert stack == Stack().push(1).push(2) and stack != Stack() and stack != [1, 2]
assert len(stack + Stack().push(7)) == 3
stack.items = []
assert not stack
""",
    ),
    "exceptions of both": (
        """
class Refused(ValueError): pass
def ask(function):
    try: function()
    except KeyError as error: raise Refused(error.args[0]) from None
""",
        """
class Odd(KeyError): pass
def fails(): raise Odd('why')
try: ask(fails)
except Refused as error: assert str(error) == 'why'
else: raise AssertionError
try: ask(fails)
except ValueError: pass
""",
    ),
    "functions, generators, contexts": (
        """
from contextlib import contextmanager
def each(function, items):
    for item in items: yield function(item)
@contextmanager
def opened(log):
    log('in')
    yield 7
    log('out')
""",
        """
assert list(each(str.upper, iter('ab'))) == ['A', 'B']
assert sorted(each(lambda x: -x, (1, 2)), key=abs) == [-1, -2]
seen = []
with opened(seen.append) as number: assert number == 7 and seen == ['in']
assert seen == ['in', 'out']
""",
    ),
    "records and streams of the tests": (
        """
def total(order, out):
    order.paid = True
    print(order.name, file=out)
    return sum(order.prices())
""",
        """
import io
from dataclasses import dataclass
@dataclass
class Order:
    name: str
    paid: bool = False
    def prices(self): return [1, 2]
out, order = io.StringIO(), Order('x')
assert total(order, out) == 3
assert order == Order('x', True) and out.getvalue() == 'x\\n'
""",
    ),
    "values of every kind": (
        """
def same(*values, **named): return [*values, named]
""",
        """
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from fractions import Fraction
values = [None, True, -1, 2 ** 900, 1.5, float('inf'), 'ä\\0',
  b'\\xff', bytearray(b'a'), (1, [2]), {1: {2}}, frozenset({3}), 1j, range(3),
  Decimal('0.1'), Fraction(1, 3), date(2020, 1, 2), datetime(2020, 1, 2, tzinfo=timezone.utc),
  timedelta(1), int, len, ValueError]
found = same(*values, key=1)
assert found == [*values, {'key': 1}]
assert [type(x) for x in found[:-1]] == [type(x) for x in values]
""",
    ),
}


@pytest.mark.parametrize("name", SHARED)
def test_the_tests_reach_what_the_answer_defines(name: str) -> None:
    answer, tests = SHARED[name]
    graded = grade(answer, grader=Python(tests=tests))
    assert graded.passed, graded.why


def test_what_is_not_of_the_tests_making_is_not_given() -> None:
    graded = grade(
        "def take(thing): pass", grader=Python(tests="import sys\nassert take(sys.stdout)")
    )
    assert "a TextIOWrapper of the tests cannot be given to the answer" in graded.why


def test_what_python_says_of_a_wrong_use_is_told() -> None:
    graded = grade("class A: pass", grader=Python(tests="assert len(A()) == 1"))
    assert "TypeError: object of type 'A' has no len() (line 1 of the tests)" in graded.why
