"""Exercises that a seeded script writes: short tasks with one right answer, in the pair's formats.

Of the kinds that graded suites ask for (sums, dates, extraction, tables, textbook functions), with
words, numbers and names of their own: no prompt of a suite is among them.
"""

from __future__ import annotations

import datetime
import json
import random
import re
from collections.abc import Callable, Iterator

from training.exercise_words import (
    BAD,
    CITIES,
    COLUMNS,
    CURRENCIES,
    GOOD,
    KINDS,
    PEOPLE,
    PLAIN,
    TABLES,
    THINGS,
)
from training.textbook import FUNCTIONS

SEED = 25
BYTES = 3_000_000

Draw = random.Random


def exercises() -> Iterator[str]:
    """Texts of about `BYTES` bytes in all, the same for each call."""
    draw = random.Random(SEED)
    total = 0
    while total < BYTES:
        text = draw.choice(WRITERS)(draw)
        total += len(text.encode())
        yield text


def chat(question: str, answer: str, *, system: str = "") -> str:
    """One turn in the pair's chat format."""
    told = f"<|system|>\n{system}\n" if system else ""
    return f"{told}<|user|>\n{question}\n<|assistant|>\n{answer}\n"


def sums(draw: Draw) -> str:
    """Addition, subtraction and multiplication."""
    a, b = draw.randint(2, 60), draw.randint(2, 40)
    sign, value = draw.choice((("+", a + b), ("-", a - b), ("*", a * b)))
    asked = draw.choice((f"What is {a} {sign} {b}?", f"Calculate {a} {sign} {b}."))
    return chat(asked, f"{a} {sign} {b} = {value}.")


def days(draw: Draw) -> str:
    """Days between two dates."""
    first = datetime.date(2025, 1, 1) + datetime.timedelta(days=draw.randint(0, 330))
    count = draw.randint(2, 45)
    second = first + datetime.timedelta(days=count)
    one, two = (f"{date.day} {date:%B}" for date in (first, second))
    asked = draw.choice(
        (f"How many days are there between {one} and {two}?", f"How many days from {one} to {two}?")
    )
    return chat(asked, f"There are {count} days between {one} and {two}.")


def membership(draw: Draw) -> str:
    """Yes or no, and a sentence."""
    kind = draw.choice(list(KINDS))
    true = draw.choice(list(KINDS)) if draw.random() < 0.6 else kind
    thing = draw.choice(KINDS[true])
    names = [f"{'an' if word[0] in 'aeio' else 'a'} {word}" for word in (thing, kind, true)]
    answer = f"Yes, {names[0]} is {names[1]}." if kind == true else f"No, {names[0]} is {names[2]}."
    system = "Answer with yes or no, followed by one short sentence."
    asked = f"Is {names[0]} {names[1]}?"
    return chat(asked, answer, system=system if draw.random() < 0.7 else "")


def numbered(draw: Draw) -> str:
    """A list of a given length."""
    count = draw.choice((3, 5, 8, 10))
    word = {3: "three", 5: "five", 8: "eight", 10: "ten"}[count]
    what = draw.choice((("cities", CITIES), ("names", PEOPLE), ("things", THINGS)))
    chosen = draw.sample(what[1], count)
    lines = "\n".join(f"{place}. {item}" for place, item in enumerate(chosen, start=1))
    asked = draw.choice((f"Suggest {word} {what[0]}.", f"List {word} {what[0]} for my game."))
    return chat(asked, lines)


def markdown(draw: Draw) -> str:
    """A table of two things."""
    one, two = draw.sample(THINGS, 2)
    rows = draw.sample(("price", "weight", "size", "colour", "noise", "repair", "risk"), 3)
    values = ("low", "high", "medium", "none")
    lines = [f"| | {one} | {two} |", "|---|---|---|"]
    lines += [f"| {row} | {draw.choice(values)} | {draw.choice(values)} |" for row in rows]
    asked = f"Compare a {one} and a {two} in a Markdown table with a row for " + ", ".join(rows)
    return chat(f"{asked}.", "\n".join(lines))


def extraction(draw: Draw) -> str:
    """Fields of a sentence as JSON, after examples."""
    lines = ['Extract the fields as JSON with the keys "number", "date", "total", "currency".', ""]
    for _ in range(draw.randint(2, 4)):
        number = draw.choice((str(draw.randint(1000, 9999)), f"B-{draw.randint(10, 99)}"))
        date = datetime.date(draw.randint(2021, 2026), draw.randint(1, 12), draw.randint(1, 28))
        total, currency = draw.randint(100, 99900) / 10, draw.choice(CURRENCIES)
        lines.append(
            f"Text: Invoice {number} of {date.day} {date:%B %Y}, amount due {total:.2f} {currency}."
        )
        record = {"number": number, "date": str(date), "total": total, "currency": currency}
        lines += [f"JSON: {json.dumps(record)}", ""]
    return "\n".join(lines)


def table(draw: Draw) -> str:
    """CSV to JSON."""
    columns = ["name", *draw.sample(COLUMNS[:2] + COLUMNS[4:6], 2)]
    rows = [
        dict(zip(columns, (name, draw.randint(1, 99999), draw.randint(1, 999)), strict=True))
        for name in draw.sample(CITIES + PEOPLE, draw.randint(2, 4))
    ]
    csv = "\n".join([",".join(columns), *(",".join(map(str, row.values())) for row in rows)])
    return chat(f"Turn this CSV into a JSON array of objects:\n\n{csv}", json.dumps(rows))


def sentiment(draw: Draw) -> str:
    """Labels of reviews, as lines of JSON."""
    lines = ["Label each review as positive, negative or neutral. One JSON object a line.", ""]
    for _ in range(draw.randint(3, 6)):
        label, texts = draw.choice((("positive", GOOD), ("negative", BAD), ("neutral", PLAIN)))
        review = f"{draw.choice(texts)}. {draw.choice(texts)}{draw.choice('.!')}"
        lines += [f"Review: {review}", json.dumps({"label": label})]
    return "\n".join(lines)


def call(draw: Draw) -> str:
    """One function call as JSON."""
    hour, minute = draw.randint(5, 22), draw.choice((0, 15, 30, 45))
    thing, person, city = draw.choice(THINGS), draw.choice(PEOPLE), draw.choice(CITIES)
    system, asked, name, arguments = draw.choice(
        (
            ('- remind_me(time: "HH:MM", label: string)', f"Remind me of the {thing} at {hour}:"
             f"{minute:02}.", "remind_me", {"time": f"{hour:02}:{minute:02}", "label": thing}),
            ("- send_mail(to: string, subject: string)", f"Write to {person} about the {thing}.",
             "send_mail", {"to": person, "subject": thing}),
            ("- get_weather(city: string)", f"What is the weather like in {city}?",
             "get_weather", {"city": city}),
            ("- buy(item: string, count: integer)", f"Order {hour} {thing}s, please.",
             "buy", {"item": thing, "count": hour}),
        )
    )  # fmt: skip
    told = (
        'You can call one function. Answer only with JSON of the form {"name": ..., "arguments": '
        f"{{...}}}}.\nFunctions:\n{system}"
    )
    return chat(asked, json.dumps({"name": name, "arguments": arguments}), system=told)


def records(draw: Draw) -> str:
    """JSON objects, a line or an array."""
    rows = [
        {"id": f"{draw.choice('abc')}-{draw.randint(100, 999)}", "name": draw.choice(PEOPLE),
         "city": draw.choice(CITIES), "item": draw.choice(THINGS), "count": draw.randint(1, 12),
         "paid": draw.random() < 0.5}
        for _ in range(draw.randint(2, 6))
    ]  # fmt: skip
    keys = draw.sample(list(rows[0]), draw.randint(3, 6))
    lines = [json.dumps({key: row[key] for key in keys}) for row in rows]
    return "\n".join(lines) if draw.random() < 0.5 else "[\n  " + ",\n  ".join(lines) + "\n]"


def query(draw: Draw) -> str:
    """SQL that follows from its comment."""
    one, two = draw.sample(TABLES, 2)
    a, b = draw.sample(COLUMNS, 2)
    limit, year = draw.choice((5, 10, 20)), draw.randint(2019, 2025)
    key = f"{two[:-1]}_id"
    return draw.choice(
        (
            f"-- The {limit} {one} with the highest {a}.\nSELECT id, {a}\nFROM {one}\n"
            f"ORDER BY {a} DESC\nLIMIT {limit};\n",
            f"-- {two}(id, name), {one}(id, {key}, {a})\n-- The sum of {a} of each of the {two}.\n"
            f"SELECT t.name, SUM(o.{a}) AS total\nFROM {two} AS t\n"
            f"JOIN {one} AS o ON o.{key} = t.id\nGROUP BY t.name\nORDER BY total DESC;\n",
            f"-- {two.capitalize()} without {one}.\nSELECT t.id, t.name\nFROM {two} AS t\n"
            f"LEFT JOIN {one} AS o ON o.{key} = t.id\nWHERE o.id IS NULL;\n",
            f"-- Rank by {a} within each {b}.\nSELECT\n    {b},\n    {a},\n    "
            f"RANK() OVER (PARTITION BY {b} ORDER BY {a} DESC) AS place\nFROM {one};\n",
            f"-- Count {one} of {year} by {b}.\nSELECT {b}, COUNT(*) AS count\nFROM {one}\n"
            f"WHERE year = {year}\nGROUP BY {b};\n",
            f"UPDATE {one}\nSET {a} = {limit}\nWHERE id = {year};\n",
            f"CREATE TABLE {one} (\n    id integer PRIMARY KEY,\n    {a} text NOT NULL,\n"
            f"    {key} integer REFERENCES {two} (id)\n);\n",
        )
    )


def printed(draw: Draw) -> str:
    """Expressions, and what Python prints for them."""
    lines = ["# Each line: an expression, then what Python prints for it."]
    for _ in range(draw.randint(4, 8)):
        word, a, b = draw.choice(THINGS + TABLES), draw.randint(1, 9), draw.randint(1, 9)
        text = draw.choice(
            (f'len("{word}")', f'"{word}".upper()', f"sum(range({a}))", f"{a} * {b}",
             f"max({a}, {b})", f'"{"+".join("xyz")}".split("+")', f'sorted("{word[:3]}")',
             f'" ".join(["{word}", "{a}"])', f"list(range({a}))", f'"{word}"[0]')
        )  # fmt: skip
        lines.append(f"{text}  # {eval(text)!r}")
    return "\n".join(lines)


def textbook(draw: Draw) -> str:
    """A small function that any textbook has, under varying names, as a file or an answer."""
    n, x = (
        draw.choice(["n", "k", "m", "count", "number"]),
        draw.choice(["items", "values", "rows", "xs", "data"]),
    )
    name, words, body = draw.choice(FUNCTIONS)
    words, body = (re.sub("[NX]", lambda found: {"N": n, "X": x}[found[0]], text)
                   for text in (words, body))  # fmt: skip
    head, *lines = body.split("\n")
    title = draw.choice((name, f"{name}_of", f"compute_{name}", f"get_{name}"))
    code = "\n".join(
        [f"def {title}{head}", f'    """{words}"""', *(f"    {line}" for line in lines)]
    )
    if draw.random() < 0.5:
        return f"{code}\n"
    return chat(f"Write a Python function `{title}`: {words}", f"```python\n{code}\n```")


WRITERS: tuple[Callable[[Draw], str], ...] = (
    sums, days, membership, numbered, markdown, extraction, table, sentiment, call, records, query,
    printed, textbook,
)  # fmt: skip
