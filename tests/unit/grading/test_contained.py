"""What an answer's code cannot do: it is right only where its attempt works, and never is."""

from __future__ import annotations

import socket
import tempfile
from pathlib import Path

import pytest

from equivcheck.core.graders import GradingLimits, Python
from equivcheck.grading.grade import grade
from tests.unit.grading.contained import needs_bubblewrap
from tests.unit.source import ROOT

pytestmark = needs_bubblewrap

SOON = GradingLimits(seconds=60.0, folder_kib=2048)
TESTED = Python(tests="assert tried() == 'done'")


def attempt(code: str, *, limits: GradingLimits = SOON) -> tuple[bool, str]:
    """Whether ``code`` runs without an exception inside, and what was said."""
    lines = "".join(f"    {line}\n" for line in code.splitlines())
    graded = grade(f"def tried():\n{lines}    return 'done'\n", grader=TESTED, limits=limits)
    return graded.passed, graded.why


def test_what_is_allowed_works() -> None:
    assert attempt("open('mine', 'w').write('kept'); assert open('mine').read() == 'kept'")[0]
    assert attempt("import os; os.mkfifo('mine'); os.mkdir('folder')")[0]
    assert attempt("import sqlite3; sqlite3.connect('mine.db').execute('CREATE TABLE t(a)')")[0]
    assert attempt("import asyncio, ssl, decimal, hashlib, lzma; asyncio.run(asyncio.sleep(0))")[0]


@pytest.mark.parametrize(
    "path",
    ["/etc/shadow", "/etc/passwd", "/etc/hostname", "/proc/1/environ", "/proc/self/maps",
     "/root/.bashrc", "/sys/kernel/notes", "/dev/mem", "/dev/sda", str(ROOT / "README.md"),
     str(ROOT / "equivcheck/grading/grade.py"), str(Path.home() / ".bash_history")],
)  # fmt: skip
def test_nothing_of_the_machine_can_be_read(path: str) -> None:
    assert "No such file or directory" in attempt(f"open({path!r}, 'rb').read(1)")[1]


def test_only_what_python_needs_is_there() -> None:
    allowed = "{'dev', 'etc', 'lib', 'lib32', 'lib64', 'tmp', 'usr'}"
    code = "import os, sys, equivcheck\nhome = {p.split('/')[1] for p in sys.path}\n"
    code += "home.add(equivcheck.__file__.split('/')[1])\nhome.add(sys.base_prefix.split('/')[1])\n"
    code += f"assert {{*os.listdir('/')}} <= {allowed} | home, os.listdir('/')\n"
    code += (
        "assert os.listdir('/etc') in ([], ['ld.so.cache']) and os.listdir('/dev') == ['null']\n"
    )
    code += "assert not os.listdir('.') and os.environ.keys() <= {'PWD', 'LC_CTYPE'}, os.environ\n"
    code += "import pwd, sysconfig\nfor kind in ('purelib', 'platlib'):\n"
    code += "    place = sysconfig.get_path(kind)\n"
    code += "    assert not os.path.isdir(place) or os.listdir(place) in ([], ['equivcheck'])"
    passed, why = attempt(code)
    assert passed, why


@pytest.mark.parametrize(
    "harm",
    [
        "open({path!r}, 'w').write('gone')",
        "import os; os.remove({path!r})",
        "import pathlib; pathlib.Path({path!r}).chmod(0o000)",
        "import shutil; shutil.rmtree({folder!r})",
        "import os; os.remove('precious', dir_fd=os.open({folder!r}, os.O_RDONLY))",
        "import sqlite3; sqlite3.connect({folder!r} + '/made').execute('CREATE TABLE t(a)')",
        "import sqlite3 as s; s.connect(':memory:').execute('ATTACH ? AS a', ({folder!r} + '/m',))",
        "import sqlite3 as s; s.connect(':memory:').execute('VACUUM INTO ?', ({folder!r} + '/m',))",
        "import os; os.mkfifo({folder!r} + '/made')",
        "import os; os.mknod({folder!r} + '/made')",
        "import os; os.mknod('device', 0o20666, os.makedev(1, 1))",
        "import os; os.chroot('.')",
        "open('/made', 'w')",
        "open('/dev/made', 'w')",
        "import os; open(os.__file__, 'a')",
        "import sysconfig; open(sysconfig.get_path('purelib') + '/made', 'w')",
        "import equivcheck.grading.inside.main as main; open(main.__file__, 'a')",
    ],
)
def test_nothing_outside_its_folder_is_changed(harm: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        precious = Path(folder) / "precious"
        precious.write_text("kept", encoding="utf-8")
        # Open to all, so that it is not the rights of another user that keep it.
        for path in (precious, Path(folder)):
            path.chmod(0o777)
        passed, why = attempt(harm.format(path=str(precious), folder=folder))
        assert not passed
        assert "Error" in why
        assert [path.name for path in Path(folder).iterdir()] == ["precious"]
        assert precious.read_text(encoding="utf-8") == "kept"
        assert precious.stat().st_mode & 0o777 == 0o777


@pytest.mark.parametrize(
    "code",
    [
        "import socket; socket.create_connection(('127.0.0.1', {port}), timeout=1)",
        "import socket; socket.getaddrinfo('example.org', 80)",
        "import socket; socket.create_connection(('1.1.1.1', 53), timeout=1)",
        "import socket; socket.socket(socket.AF_UNIX).connect('\\0equivcheck-{port}')",
        "import urllib.request; urllib.request.urlopen('http://127.0.0.1:{port}/', timeout=1)",
    ],
)
def test_there_is_no_network(code: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket(socket.AF_UNIX) as named:
        port = server.getsockname()[1]
        named.bind(f"\0equivcheck-{port}")
        named.listen()
        passed, why = attempt(code.format(port=port))
    assert not passed
    assert "Error" in why or "error" in why


@pytest.mark.parametrize(
    ("code", "why"),
    [
        ("import os\nwhile True: os.fork()", "BlockingIOError"),
        ("import subprocess; subprocess.run(['/bin/true'])", "Error"),
        ("import os; assert os.system('true') == 0", "AssertionError"),
        ("import threading; threading.Thread(target=print).start()", "can't start new thread"),
        ("import multiprocessing; multiprocessing.Process(target=print).start()", "Error"),
        ("hog = bytearray(2 * 2**30)", "takes more than 512 MiB"),
        ("hog = [0]\nwhile True: hog += hog", "takes more than 512 MiB"),
        ("open('big', 'wb').write(bytes(2**22))", "File too large"),
        ("for n in range(9): open(f'{n}', 'wb').write(bytes(2**19))", "No space left"),
        ("while True: print('x' * 10000)", "prints more than 256 KiB"),
        ("import resource as r; r.setrlimit(r.RLIMIT_AS, (-1, -1))", "ValueError"),
        ("import resource as r; r.setrlimit(r.RLIMIT_NPROC, (9, 9))", "ValueError"),
        ("import os; os.setuid(0)", "Error"),
        ("import os; assert os.getuid() != 65534", "AssertionError"),
        ("import os; assert len(os.sched_getaffinity(0)) and os.getppid() > 1", "AssertionError"),
        ("import ctypes; assert ctypes.CDLL(None).unshare(0x10000000) == 0", "AssertionError"),
        ("import ctypes; assert ctypes.CDLL(None).mount(b'', b'/tmp', b'tmpfs', 0, 0) == 0", "Ass"),
        ("import os; os.kill(os.getppid(), 9); os.kill(-1, 9)", "ProcessLookupError"),
    ],
)
def test_limits_hold(code: str, why: str) -> None:
    passed, said = attempt(code)
    assert not passed
    assert why in said


def test_time_is_limited() -> None:
    soon = GradingLimits(seconds=1.0)
    assert attempt("while True: pass", limits=soon) == (False, "takes longer than 1 s")
    assert attempt("import time; time.sleep(90)", limits=soon) == (False, "takes longer than 1 s")


def test_the_environment_does_not_reach_the_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "hunter2")
    assert attempt("import os; assert 'SECRET' not in os.environ") == (True, "passes its tests")
