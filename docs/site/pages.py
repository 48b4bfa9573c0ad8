"""What the site takes from outside docs/: README, suites, examples and what pages link to.

In the repository, links are paths between files, and every one of them works on GitHub and on
disk. On the site docs/ is the root and README its index, so links are written anew by that rule.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

import equivcheck

LINK = re.compile(r"\]\((?!https?:|mailto:|#)([^)\s#]+)")
ROOT = Path(__file__).parents[2]


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Add what the pages of docs/ and README link to, and what these link to in turn."""
    found = {"README.md"} | {f"docs/{file.src_uri}" for file in files.documentation_pages()}
    waiting = list(found)
    while waiting:
        page = waiting.pop()
        if not page.endswith(".md"):
            continue
        for link in LINK.findall((ROOT / page).read_text(encoding="utf-8")):
            target = file_of(page, link)
            if target and target not in found:
                found.add(target)
                waiting.append(target)
    for path in sorted(found):
        if not path.startswith("docs/"):
            files.append(File.generated(config, site_path(path), abs_src_path=str(ROOT / path)))
    files.append(File.generated(config, "python.md", content=python_page()))
    return files


def on_page_markdown(markdown: str, *, page: Any, **_: object) -> str:
    """Turn links between files of the repository into links between pages of the site."""
    uri = page.file.src_uri
    source = "README.md" if uri == "index.md" else uri if (ROOT / uri).exists() else f"docs/{uri}"

    def turned(link: re.Match[str]) -> str:
        target = file_of(source, link[1])
        if target is None:
            return link[0]
        return f"]({posixpath.relpath(site_path(target), posixpath.dirname(uri) or '.')}"

    return LINK.sub(turned, markdown)


def python_page() -> str:
    """The public names, each from its docstring."""
    homes = equivcheck._HOMES
    names = [f"::: equivcheck.{home}.{name}" for home, names in homes.items() for name in names]
    return "\n\n".join(["# Python", "What `from equivcheck import …` gives.", *names, ""])


def file_of(page: str, link: str) -> str | None:
    """The file that a link of a page leads to, from the root; a folder's README; None: outside."""
    path = posixpath.normpath(posixpath.join(posixpath.dirname(page), link))
    if (ROOT / path).is_dir():
        path = f"{path}/README.md"
    return path if (ROOT / path).is_file() else None


def site_path(path: str) -> str:
    """Where a file of the repository stands on the site."""
    return "index.md" if path == "README.md" else path.removeprefix("docs/")
