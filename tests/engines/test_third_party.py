"""The adapter of docs/write-an-adapter.md, as a package of its own: found, checked, compared."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "write-an-adapter.md"
THIRD_PARTY = Path(__file__).parent / "third_party"

COMPARE = """
import sys
from equivcheck import EngineSetup, Settings, assert_equivalent

shown = assert_equivalent(
    "ngramspec:gamma=3",
    "ngramspec:gamma=0",
    cases=sys.argv[1],
    settings=Settings(
        setup=EngineSetup(pair="tiny", device="cpu", threads=1, context=256), control=None
    ),
)
print(shown.verdict.headline)
"""
SUITE = """{"equivcheck": 1, "workload": "code"}
{"id": "one", "prompt": "for i in range(10):\\n    for i in", "max_new_tokens": 24}
{"id": "two", "prompt": "a = 1\\nb = 2\\na = 1\\n", "max_new_tokens": 24}
"""


def code_block(name: str) -> str:
    """The block of the page whose first line names a file."""
    (block,) = re.findall(rf"```\w+\n(# {re.escape(name)}\n.*?)```", PAGE.read_text(), re.DOTALL)
    assert isinstance(block, str)
    return block


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that looks to Python like an installed package."""
    folder = tmp_path_factory.mktemp("site")
    for name in ("equivcheck_ngramspec.py", "test_ngramspec.py"):
        (folder / name).write_text(code_block(name), encoding="utf-8")
    project = tomllib.loads(code_block("pyproject.toml"))["project"]
    info = folder / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    info.mkdir()
    head = f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
    (info / "METADATA").write_text(head, encoding="utf-8")
    points = [
        f"[{group}]\n" + "".join(f"{name} = {value}\n" for name, value in entries.items())
        for group, entries in project["entry-points"].items()
    ]
    (info / "entry_points.txt").write_text("\n".join(points), encoding="utf-8")
    (folder / "suite.jsonl").write_text(SUITE, encoding="utf-8")
    return folder


def python(package: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Python where the package and the third party's decoder are installed."""
    places = [str(package), str(THIRD_PARTY), str(ROOT)]
    return subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=package,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(places), "OMP_NUM_THREADS": "1"},
    )


def test_the_adapter_is_about_forty_lines_of_its_own() -> None:
    lines = code_block("equivcheck_ngramspec.py").splitlines()
    own = [line for line in lines if line.strip() and not re.match(r"from |import |#", line)]
    assert len(own) <= 50


def test_an_installed_adapter_is_found_without_being_imported(package: Path) -> None:
    code = (
        "import sys; from equivcheck.engines.registry import known_engines;"
        "print(known_engines()['ngramspec'], 'equivcheck_ngramspec' in sys.modules)"
    )
    done = python(package, "-c", code)
    assert done.stdout.split() == ["equivcheck_ngramspec:open_engine", "False"], done.stderr


def test_the_adapter_passes_the_pages_own_test(package: Path) -> None:
    done = python(package, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_ngramspec.py")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 passed" in done.stdout


def test_a_forgotten_ban_is_told_as_the_page_says(package: Path) -> None:
    adapter = code_block("equivcheck_ngramspec.py")
    told = "Sampling.__struct_fields__"
    ignoring = adapter.replace(told, f"{{*{told}}} - {{'banned_tokens'}}")
    assert ignoring != adapter
    broken = package / "broken"
    broken.mkdir()
    (broken / "equivcheck_ngramspec.py").write_text(ignoring, encoding="utf-8")
    code = (
        f"import sys; sys.path.insert(0, {str(broken)!r});"
        "import test_ngramspec; test_ngramspec.test_adapter()"
    )
    done = python(package, "-c", code)
    (shown,) = re.findall(r"```text\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    # The ids are those of the bundled model's vocabulary and weights.
    assert re.sub(r"token \d+", "token N", shown) in re.sub(r"token \d+", "token N", done.stderr)


def test_it_is_compared_with_its_own_plain_decoding(package: Path) -> None:
    done = python(package, "-c", COMPARE, str(package / "suite.jsonl"))
    assert done.stdout.startswith("EQUIVALENT"), done.stdout + done.stderr
    assert "matched target token for token on 2 of 2 prompts (48 tokens)" in done.stdout
