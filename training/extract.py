"""Turn files of packages into plain-text documents."""

from __future__ import annotations

import ast
import html
import html.parser
import json
import re
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

LONGEST = 12_000
"""Characters per document; longer files are cut into several."""
BLOCKS = {"p", "li", "dt", "dd", "h1", "h2", "h3", "h4", "pre", "tr", "title", "div"}
LONGEST_FUNCTION = 30
"""Lines of a function that is shown as an answer."""
SILENT = {"script", "style", "head"}


class TextOfHtml(html.parser.HTMLParser):
    """Collects readable text, a line a block."""

    def __init__(self) -> None:
        """Start empty."""
        super().__init__()
        self.parts: list[str] = []
        self.silent = 0

    def handle_starttag(self, tag: str, attrs: object) -> None:
        """Break lines at blocks, fall silent in scripts."""
        self.silent += tag in SILENT
        if tag in BLOCKS:
            self.parts.append("\n")

    def handle_endtag(self, tag: str) -> None:
        """Undo."""
        self.silent -= tag in SILENT
        if tag in BLOCKS:
            self.parts.append("\n")

    def handle_data(self, data: str) -> None:
        """Keep text, its white space squeezed."""
        if not self.silent:
            self.parts.append(re.sub(r"\s+", " ", data))


def read_html(path: Path) -> Iterator[str]:
    """Text of a page, lines that are only navigation dropped."""
    parser = TextOfHtml()
    parser.feed(path.read_text(encoding="utf-8", errors="replace"))
    lines = (line.strip() for line in "".join(parser.parts).splitlines())
    yield "\n".join(line for line in lines if len(line) > 30)


def read_text(path: Path) -> Iterator[str]:
    """A file as it is, if it is UTF-8."""
    try:
        yield path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return


def read_json(path: Path) -> Iterator[str]:
    """A JSON file, indented by two, its non-ASCII text readable."""
    text = json.dumps(json.loads(path.read_bytes()), indent=2, ensure_ascii=False)
    yield text


def read_gutenberg(path: Path) -> Iterator[str]:
    """A book without the library's licence before and after it, paragraphs unwrapped by none."""
    text = path.read_text(encoding="utf-8", errors="replace").replace("\r\n", "\n")
    start = re.search(r"\*\*\* ?START OF.*?\*\*\*|\*END\*THE SMALL PRINT.*?\n", text)
    end = re.search(r"\*\*\* ?END OF|End of (the |this )?Project Gutenberg", text)
    yield text[start.end() if start else 0 : end.start() if end else None].strip()


def read_conversations(path: Path) -> Iterator[str]:
    """Dialogues, question and answer by turns, in the pair's chat format."""
    import yaml

    loaded = yaml.safe_load(path.read_text(encoding="utf-8"))
    for turns in loaded.get("conversations", []):
        marked = [
            f"<|{'assistant' if index % 2 else 'user'}|>\n{str(turn).strip()}\n"
            for index, turn in enumerate(turns)
        ]
        yield "".join(marked)


def read_listings(path: Path) -> Iterator[str]:
    """What a page shows as typed or printed, each piece apart from the next by an empty line."""
    page = path.read_text(encoding="utf-8", errors="replace")
    found = re.findall(r"<pre[^>]*>(.*?)</pre>", page, re.DOTALL)
    shown = (html.unescape(re.sub(r"<[^>]+>", "", piece)).strip("\n") for piece in found)
    yield "\n\n".join(piece for piece in shown if piece)


def read_functions(path: Path) -> Iterator[str]:
    """A module's short documented functions, as the answers to requests for them."""
    source = path.read_text(encoding="utf-8", errors="replace")
    try:
        tree = ast.parse(source)
    except SyntaxError:
        return
    turns = []
    for node in ast.walk(tree):
        if not isinstance(node, ast.FunctionDef) or node.name.startswith("_"):
            continue
        words = (ast.get_docstring(node) or "").strip().split("\n\n")[0].replace("\n", " ")
        code = textwrap.dedent(ast.get_source_segment(source, node, padded=True) or "")
        if 20 <= len(words) <= 200 and code.count("\n") <= LONGEST_FUNCTION:
            asked = f"Write a Python function `{node.name}`: {words}"
            turns.append(f"<|user|>\n{asked}\n<|assistant|>\n```python\n{code}\n```\n")
    yield from turns


READERS: dict[str, Callable[[Path], Iterator[str]]] = {
    "text": read_text,
    "html": read_html,
    "json": read_json,
    "gutenberg": read_gutenberg,
    "conversations": read_conversations,
    "listings": read_listings,
    "functions": read_functions,
}


def pieces(text: str) -> Iterator[str]:
    """Cut a long text at line ends into documents of at most about `LONGEST` characters."""
    text = text.replace("\x00", "").strip()
    while len(text) > LONGEST:
        cut = text.rfind("\n", LONGEST // 2, LONGEST)
        cut = cut if cut > 0 else LONGEST
        yield text[:cut]
        text = text[cut:].lstrip("\n")
    if text:
        yield text
