"""Short prompts of every kind, and some that repeat themselves, whose drafts are often right."""

from __future__ import annotations

VARIED = (
    "SELECT name, COUNT(*) FROM customers AS c JOIN orders AS o ON",
    "<|user|>\nHello?\n<|assistant|>\n",
    '{\n  "name": "Ada",\n  "age": 36,\n  "tags": [',
    "def add(a, b):\n    return a +",
    "import os\nimport sys\n\n\ndef main() -> None:\n",
    "The king looked out upon the sea, and",
    "Once upon a time there was a",
    "It was a dark night, and the wind",
    "Il était une fois, dans un pays lointain,",
    "Es war einmal ein König, der hatte",
    "for i in range(10):\n    print(",
    "# Installation\n\nTo install the package, run",
    "class Node:\n    def __init__(self, value",
    "<|user|>\nWhat is a list in Python?\n<|assistant|>\n",
    "CREATE TABLE orders (\n    id INTEGER PRIMARY KEY,\n",
    '"Where are you going?" asked the',
)
REPETITIVE = (
    "The king looked out upon the sea, and the sea, and the sea, and the sea",
    '{"a": 1, "b": 2}\n{"a": 1, "b": 2}\n{"a": 1, "b": 2}\n{"a": 1,',
    "one two three one two three one two three one two",
    "def f(x):\n    return x\n\n\ndef g(x):\n    return x\n\n\ndef h(x):\n    return",
    "yes, yes, yes, yes, yes, yes, yes,",
    "INSERT INTO t VALUES (1);\nINSERT INTO t VALUES (1);\nINSERT INTO t VALUES",
    "la la la la la la la la",
    "- item\n- item\n- item\n- item\n- item\n-",
)
