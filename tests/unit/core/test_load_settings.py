from __future__ import annotations

from pathlib import Path

import pytest

from equivcheck.core.engine_tables import EngineTable, TimeLimits
from equivcheck.core.errors import SettingsError
from equivcheck.core.load_settings import find_settings_file, load_settings
from equivcheck.core.settings import EngineSetup, Settings


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_defaults_without_a_file() -> None:
    assert load_settings() == Settings()


def test_a_project_table_and_an_own_file_read_alike() -> None:
    own, project = Path("equivcheck.toml"), Path("pyproject.toml")
    own.write_text('seed = 3\ncontrol = "none"\n[setup]\ndtype = "bfloat16"\nthreads = "none"\n')
    project.write_text(
        '[project]\nname = "x"\n[tool.equivcheck]\nseed = 3\ncontrol = "none"\n'
        '[tool.equivcheck.setup]\ndtype = "bfloat16"\n'
    )
    wanted = Settings(seed=3, control=None, setup=EngineSetup(dtype="bfloat16"))
    assert load_settings(own) == load_settings(project) == wanted


@pytest.mark.parametrize("content", ["", "[tool.other]\nx = 1\n", "tool = 3\n"])
def test_a_project_file_without_our_table_sets_nothing(content: str) -> None:
    Path("pyproject.toml").write_text(content)
    assert load_settings(Path("pyproject.toml")) == Settings()


def test_overrides_are_typed_and_later_ones_win() -> None:
    Path("equivcheck.toml").write_text("seed = 3\n")
    settings = load_settings(
        Path("equivcheck.toml"),
        overrides=[
            "setup.dtype=float16",
            "seed=4",
            "seed = 5",
            "near_tie_ulps=2.5",
            "control=none",
            "setup.threads=2",
            "logprob_tolerance=0.5",
            "target=replay:run=x=y",
        ],
    )
    assert settings == Settings(
        setup=EngineSetup(dtype="float16", threads=2),
        seed=5,
        near_tie_ulps=2.5,
        control=None,
        logprob_tolerance=0.5,
        target="replay:run=x=y",
    )


OVERRIDES = {
    "setup.dtpe=float16": "setup.dtpe: unknown key (did you mean 'dtype'?); known: pair, ",
    "sed=1": "sed: unknown key (did you mean 'seed'?)",
    "seed=x": "seed: expected `int`, got `str`",
    "seed=-1": "seed: expected `int` >= 0",
    "seed=none": "seed: expected `int`, got `str`",
    "setup.dtype=bfloat": "setup.dtype: 'bfloat' is not a valid value (did you mean 'bfloat16'?); "
    "valid: float32, bfloat16, float16",
    "seed": "write it as name=value",
    "seed.x=1": "seed: not a table of settings",
    "setup=1": "setup: a table; name one setting in it",
    "a.b=1": "a: unknown key",
}


@pytest.mark.parametrize(("override", "problem"), OVERRIDES.items())
def test_a_bad_override_is_named(override: str, problem: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings(overrides=[override])
    assert str(caught.value).startswith(f"override {override!r}: {problem}")


FILES = {
    "equivcheck.toml": ("[setup]\nbatchsize = 3\n", "setup.batchsize: unknown key (did you mean"),
    "pyproject.toml": ("[tool.equivcheck]\nseed = '3'\n", "[tool.equivcheck] seed: expected `int`"),
    "other.toml": ("seed = \n", "not valid TOML: "),
    "setup.toml": ("setup = 3\n", "setup: expected `object`, got `int`"),
}


@pytest.mark.parametrize(("name", "content", "problem"), [(k, *v) for k, v in FILES.items()])
def test_a_bad_file_is_named(name: str, content: str, problem: str) -> None:
    Path(name).write_text(content)
    with pytest.raises(SettingsError) as caught:
        load_settings(Path(name))
    assert str(caught.value).startswith(f"{name}: {problem}")


def test_unreadable_files_are_errors() -> None:
    Path("latin.toml").write_bytes(b"# \xe9\n")
    for name, problem in {
        "none.toml": "no such file",
        "latin.toml": "invalid UTF-8 at byte 2",
        ".": "cannot be read: ",
    }.items():
        with pytest.raises(SettingsError) as caught:
            load_settings(Path(name))
        assert str(caught.value).startswith(f"{name}: {problem}")


def test_the_nearest_file_is_found(here: Path) -> None:
    inner = here / "a" / "b"
    inner.mkdir(parents=True)
    assert find_settings_file(inner) is None
    (here / "pyproject.toml").write_text("[tool.equivcheck]\n")
    (here / "a" / "pyproject.toml").write_text("[tool.other]\n")
    assert find_settings_file(inner) == here / "pyproject.toml"
    (here / "a" / "equivcheck.toml").write_text("")
    assert find_settings_file(inner) == here / "a" / "equivcheck.toml"


def test_two_places_for_settings_are_one_too_many(here: Path) -> None:
    (here / "pyproject.toml").write_text("[tool.equivcheck]\n")
    (here / "equivcheck.toml").write_text("")
    with pytest.raises(SettingsError, match="keep one of them"):
        find_settings_file(here)


ENGINE = """
candidate = "fast"
arms = "one at a time"
[clock]
answer_seconds = "off"
[engine.fast]
engine = "native:gamma=4"
isolated = true
python = ".venv-fast/bin/python"
env = { OMP_NUM_THREADS = "1" }
open_seconds = 90
close_seconds = "off"
"""


def test_engines_by_a_name_of_ones_own() -> None:
    Path("equivcheck.toml").write_text(ENGINE)
    settings = load_settings(Path("equivcheck.toml"), overrides=["engine.fast.open_seconds=80"])
    assert settings.engine == {
        "fast": EngineTable(
            engine="native:gamma=4",
            isolated=True,
            python=".venv-fast/bin/python",
            env={"OMP_NUM_THREADS": "1"},
            open_seconds=80,
            close_seconds="off",
        )
    }
    clock = settings.engine["fast"].clock(settings.clock)
    assert clock == TimeLimits(open_seconds=80, answer_seconds="off", close_seconds="off")


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ('pyhton = "x"', r"engine\.fast: pyhton: unknown key \(did you mean 'python'\?\)"),
        ("open_seconds = 0", r"engine\.fast: open_seconds: expected `float` > 0"),
        ('answer_seconds = "of"', r"engine\.fast: answer_seconds: "),
        ("env = { A = 1 }", r"engine\.fast: env\[\.\.\.\]: expected `str`, got `int`"),
    ],
)
def test_a_wrong_engine_table_is_named(line: str, told: str) -> None:
    Path("equivcheck.toml").write_text(f'[engine.fast]\nengine = "native"\n{line}\n')
    with pytest.raises(SettingsError, match=told):
        load_settings(Path("equivcheck.toml"))


def test_an_engine_table_without_an_engine() -> None:
    with pytest.raises(SettingsError, match=r"engine\.fast: engine: missing"):
        load_settings(overrides=["engine.fast.isolated=true"])
