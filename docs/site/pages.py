"""What the site takes from outside docs/: README, suites, examples and what pages link to.

In the repository, links are paths between files, and every one of them works on GitHub and on
disk. On the site docs/ is the root and README its index, so links are written anew by that rule.
"""

from __future__ import annotations

import gzip
import json
import posixpath
import re
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

import equivcheck
from equivcheck.checks.verdict import judge
from equivcheck.records.records_file import RECORDS_NAME, read_evidence
from equivcheck.report import html
from equivcheck.report.export.grafana import dashboard
from equivcheck.report.view import view_of

LINK = re.compile(r"\]\((?!https?:|mailto:|#)([^)\s#]+)")
ROOT = Path(__file__).parents[2]
EXAMPLE = Path(__file__).with_name("example.jsonl.gz")
REPORT, DASHBOARD = "example-report.html", "equivcheck-dashboard.json"
SHOWN = {
    "first-run.md": f"\n\nThe whole [report]({REPORT}) of a broken decoder, as it is written.\n",
    "dashboards.md": f"\n\nThe [dashboard]({DASHBOARD}), to be imported.\n",
}
"""Page to what the site alone has, at its end."""


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
    files.append(File.generated(config, REPORT, content=example_report()))
    files.append(File.generated(config, DASHBOARD, content=json.dumps(dashboard(), indent=2)))
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

    return LINK.sub(turned, markdown) + SHOWN.get(uri, "")


def example_report() -> str:
    """The report of a recorded run with a broken decoder, as it is written today."""
    with TemporaryDirectory() as folder:
        records = Path(folder) / RECORDS_NAME
        records.write_bytes(gzip.decompress(EXAMPLE.read_bytes()))
        evidence = read_evidence(records, compact=True)
    return html.render(view_of(evidence, judge(evidence)))


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
