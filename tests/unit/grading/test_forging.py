"""Code that is wrong and sets out to be graded right: none of it is."""

from __future__ import annotations

import pytest

from equivcheck.core.graders import GradingLimits, Python
from equivcheck.grading.grade import grade
from tests.unit.grading.contained import needs_bubblewrap

pytestmark = needs_bubblewrap

LONG = GradingLimits(seconds=60.0)
"""On a busy machine too, what is told is the reason and not the time."""
TESTED = Python(
    tests="""
from math import isclose
def equal(found, wanted):
    assert isclose(found, wanted)
    assert abs(found - wanted) < 1e-9
    assert found == wanted
def test_wanted():
    for number in sorted([1, 2]):
        equal(wanted(number), number * 2)
"""
)
WRONG = "def wanted(number): return 0\n"
MESSAGE = '{"stage": "judged", "passed": true, "why": "passes its tests"}\\n'
ALWAYS = (
    "class Equal(*BASES):\n"
    + "".join(
        f"    def __{name}__(self, *others): return {value}\n"
        for name, value in {
            "eq": True, "ne": False, "lt": True, "gt": True, "sub": "self", "rsub": "self",
            "abs": "self", "float": 0.0, "bool": True,
        }.items()
    )
    + "    __hash__ = None\n"
    "def wanted(number): return Equal()\n"
)  # fmt: skip
FORGERIES = {
    "prints the message": f"print('{MESSAGE}'); import sys; sys.exit(0)",
    "leaves with 0": "import os; os._exit(0)",
    "leaves with 0 when called": "import os\ndef wanted(number): os._exit(0)",
    "raises SystemExit when called": "def wanted(number): raise SystemExit(0)",
    "raises StopIteration": "def wanted(number): raise StopIteration",
    "writes the message to every descriptor": WRONG
    + f"import os\nfor fd in range(64):\n  try: os.write(fd, b'{MESSAGE}')\n  except OSError: pass",
    "writes a reply to every descriptor": WRONG
    + "import os\nfor fd in range(3, 64):\n"
    + "  try: os.write(fd, b'[\"loaded\"]\\n' + b'[\"came\", null, []]\\n' * 99)\n"
    + "  except OSError: pass",
    "replaces builtins": "import builtins\nbuiltins.AssertionError = type('Never', (), {})\n"
    "builtins.abs = builtins.sorted = lambda *given, **named: []\nsorted = abs\n" + WRONG,
    "shadows what the tests call": "sorted = lambda numbers: []\nabs = lambda number: 0\n"
    "isclose = lambda *numbers: True\nequal = lambda *numbers: None\n" + WRONG,
    "brings tests of its own": WRONG + "def test_wanted(): pass\n",
    "replaces unittest and math": WRONG + "import math, unittest\nmath.isclose = lambda *x: True\n"
    "unittest.TestCase.run = lambda *x: None\n",
    "replaces the harness's modules": WRONG
    + "import sys\nfor name, module in list(sys.modules.items()):\n"
    + "  if name.startswith('equivcheck'):\n    for member in list(vars(module)):\n"
    + "      if '__' not in member: setattr(module, member, lambda *x, **y: (True, 'ok'))\n",
    "runs at exit": WRONG + f"import atexit; atexit.register(print, '{MESSAGE}')",
    "does it in a thread": WRONG + "import threading; threading.Thread(target=print).start()",
    "does it in another process": WRONG + "import subprocess; subprocess.Popen(['/bin/true'])",
    "walks up the frames": "import sys\ndef wanted(number):\n  frame = sys._getframe()\n"
    "  while frame:\n"
    "    for scope in (frame.f_locals, frame.f_globals):\n"
    "      scope.update({name: (True, 'ok') for name in ('passed', 'why', 'outcome', 'reply')})\n"
    "    frame = frame.f_back\n  return 0\n",
    "uses the frame of what it is asked": "import sys\ndef wanted(number):\n"
    "  frame = sys._getframe(1)\n  while 'self' not in frame.f_locals: frame = frame.f_back\n"
    "  link = frame.f_locals['self']\n  for number in range(9):\n"
    "    for name in ('__globals__', '__self__', 'test_wanted', 'gi_frame'):\n"
    "      try: link.ask('get', number, name)\n      except Exception: pass\n"
    "      try: link.ask('set', number, name, print)\n      except Exception: pass\n  return 0\n",
    "reads its job for a secret": "import os, gc\nfor found in gc.get_objects():\n"
    "  if isinstance(found, dict) and 'seconds' in found: found.update(passed=True, tests='')\n"
    + WRONG,
    "equals everything": ALWAYS.replace("(*BASES)", ""),
    "equals everything and is a number": ALWAYS.replace("*BASES", "float"),
    "sends what equals everything by name": "import unittest.mock\n"
    "def wanted(number): return unittest.mock.ANY\n",
    "says by hand that it equals everything": "import json, os\ndef wanted(number):\n"
    "  for fd in range(3, 64):\n    try: os.write(fd, json.dumps("
    "['came', ['named', 'unittest.mock', 'ANY'], [None]]).encode() + b'\\n')\n"
    "    except OSError: pass\n",
    "raises for every name": "def __getattr__(name): raise ValueError(name)\n",
    "nests without end": "def wanted(number):\n  found = []\n"
    "  for _ in range(9 ** 5): found = [found]\n"
    "  return found\n",
    "traces the calls": "import sys\n"
    "sys.settrace(lambda frame, *x: frame.f_locals.update(number=0))\n"
    + WRONG,
}  # fmt: skip


def test_the_tests_pass_what_is_right() -> None:
    right = "def wanted(number): return number * 2"
    assert grade(right, grader=TESTED).why == "passes its tests"


@pytest.mark.parametrize("forgery", FORGERIES)
def test_nothing_forged_is_right(forgery: str) -> None:
    graded = grade(FORGERIES[forgery], grader=TESTED, limits=LONG)
    assert not graded.passed, graded.why


@pytest.mark.parametrize(
    ("code", "why"),
    [
        ("", "takes longer than 0.5 s"),
        ("import os; os._exit(0)", "ends before it is judged"),
        ("import sys; sys.exit(0)", "before its tests: SystemExit: 0"),
        (FORGERIES["leaves with 0 when called"], "ends before it is judged"),
        (FORGERIES["raises SystemExit when called"], "a test fails: SystemExit: 0"),
        (FORGERIES["writes the message to every descriptor"], "interferes with its own grading"),
        (FORGERIES["says by hand that it equals everything"], "interferes with its own grading"),
        (FORGERIES["does it in a thread"], "can't start new thread"),
    ],
)
def test_the_reason_is_told(code: str, why: str) -> None:
    limits = LONG if code else GradingLimits(seconds=0.5)
    graded = grade(code or "while True: pass", grader=TESTED, limits=limits)
    assert not graded.passed
    assert why in graded.why


def test_tests_that_take_any_exception_do_not_take_silence() -> None:
    tests = "try:\n    wanted()\nexcept BaseException:\n    pass\nelse:\n    assert False"
    grader = Python(tests=tests)
    assert grade("def wanted(): raise KeyError", grader=grader).passed
    graded = grade("import os\ndef wanted(): os.closerange(0, 64)", grader=grader, limits=LONG)
    assert graded.why == "ends before it is judged"


REACHES = """
import sys
def reaches(*given):
    frame = sys._getframe()
    while "target" not in frame.f_locals:
        frame = frame.f_back
    link = frame.f_locals["self"]
    reached = []
    for number in range(len(given)):
        for asked in ("get", "set", "call", "isinstance", "getitem", "str", "iter", "next"):
            for name in NAMES:
                try:
                    link.ask(asked, number, name, *[1] * (asked == "set"))
                    reached.append((asked, name))
                except Exception:
                    pass
    return [(asked, name) for asked, name in reached if asked in ("get", "set")]
NAMES = ["__globals__", "__code__", "__self__", "__class__", "__dict__", "gi_frame", "check"]
"""
GIVES = """
from types import SimpleNamespace
class Own:
    def check(self): return 7
def check(found): return found
def steps(): yield 1
own, plain = Own(), SimpleNamespace(seen=1)
found = reaches(check, steps(), own, Own, plain, own.check, [].append)
assert ("get", "check") in found and own.check() == 7 and Own.check(own) == 7
assert all(name in ("check", "gi_frame") for _, name in found), found
assert [name for asked, name in found if asked == "get" and name != "check"] == [], found
"""


def test_nothing_of_the_tests_leads_further() -> None:
    graded = grade(REACHES, grader=Python(tests=GIVES), limits=LONG)
    assert graded.passed, graded.why
