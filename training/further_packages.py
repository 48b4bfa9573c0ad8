"""The further packages that `tiny-v2` learns from, besides those of `packages.py`."""

from __future__ import annotations

from training.packages import BROTLI, CHATTERBOT, DJANGO, NETWORKX, Extract, Package

STDLIB = Package(
    registry="debian",
    name="libpython3.11-stdlib",
    version="3.11.2-6+deb12u8",
    licence="PSF-2.0",
    sha256="890b3540dad8a1ccc0deeca025db735bcc82629a76adacbe3b50fcc06ed528ca",
)
POSTGRES = Package(
    registry="debian",
    name="postgresql-doc-15",
    version="15.18-0+deb12u1",
    licence="PostgreSQL",
    sha256="3c598277a463c44d672daa2c335deb8d8252e1852fb025fd4578ea2d9a1b90f0",
)
REFERENCES = {
    language: Package(
        registry="debian",
        name=f"debian-reference-{language}",
        version="2.100",
        licence="GPL-2.0-or-later",
        sha256=sha256,
    )
    for language, sha256 in (
        ("en", "9f31d3a17df505de09689ca255512ea58c1fc47c59bb1b0c7bf1c23362e9743f"),
        ("de", "3b0ce65fd63e75ddf8eb07ca36293425135080e690a07e06a6ac8bc8040ef0aa"),
        ("es", "a59b68c96f83d3cf29a476c847aee38364764603ea62eee592791e0a843a269e"),
        ("fr", "01424cba9bfa2e13166da22d3d692d33a22ec7d8ef935ec81fd8802746087f65"),
        ("it", "7894062a5e9203a57ec6cb8d6a47d5ffb58c41dc004766522f1b4d78b2a8e0c6"),
        ("ja", "f67140e0b994409413bd5fcc8dfcce832445c99d724401f0275fa238daf30325"),
        ("pt", "c9c5d30a8608485bad60f7bd7ce6c755af4a129c2b30511ee733b90ac17e7dfa"),
        ("zh-cn", "6d2d8d9a646397e28b04cdff23d2e4374101ebf9be348e35961af62c8a2d0977"),
    )
}
DIALOGUES = (
    "french", "german", "hindi", "italian", "japanese", "korean", "portuguese", "russian",
    "spanish", "turkish",
)  # fmt: skip

FURTHER = (
    Extract("code", STDLIB, "text", "usr/lib/python3.11/**/*.py"),
    Extract("code", BROTLI, "text", "*/c/**/*.[ch]"),
    Extract("code", DJANGO, "text", "django/contrib/**/*.js"),
    Extract("json_sql", POSTGRES, "listings", "usr/share/doc/postgresql-doc-15/html/*.html"),
    Extract("chat", POSTGRES, "html", "usr/share/doc/postgresql-doc-15/html/*.html"),
    Extract("chat", REFERENCES["en"], "html", "usr/share/debian-reference/*.en.html"),
    Extract("chat", STDLIB, "functions", "usr/lib/python3.11/**/*.py"),
    Extract("chat", NETWORKX, "functions", "networkx/**/*.py"),
    Extract("chat", DJANGO, "functions", "django/**/*.py"),
    *(
        Extract("multilingual", package, "html", f"usr/share/debian-reference/*.{language}.html")
        for language, package in REFERENCES.items()
        if language != "en"
    ),
    *(
        Extract("multilingual", CHATTERBOT, "conversations", f"chatterbot_corpus/data/{name}/*.yml")
        for name in DIALOGUES
    ),
)
