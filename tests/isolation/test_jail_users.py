"""Jails of users who are not root, and the fork of zygotes on every Python that there is here."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from prismenv.isolation.syscalls import numbers_here

ROOT = Path(__file__).resolve().parents[2]
NOBODY = 65534
PYTHONS = [f"python3.{minor}" for minor in range(11, 15)]
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="jails need Linux")

# As another user, optionally where user namespaces are switched off: which kinds there are, and what they say.
AS_NOBODY = """
import json, os, sys
if {off}:
    import ctypes
    reader, writer = os.pipe()
    helper = os.fork()
    if helper == 0:  # whoever maps users must stand outside
        os.read(reader, 1)
        for name in ("uid_map", "gid_map"):
            open(f"/proc/{{os.getppid()}}/{{name}}", "w").write("0 0 4294967295")
        os._exit(0)
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.unshare(0x10000000) == 0, "no user namespace to switch them off in"
    os.write(writer, b"!")
    os.waitpid(helper, 0)
    open("/proc/sys/user/max_user_namespaces", "w").write("0")
os.setgroups([]); os.setgid({uid}); os.setuid({uid})
from prismenv.contracts.recipe import SandboxSettings
from prismenv.isolation.blocking import BlockingSandbox
from prismenv.isolation.choice import available_kinds, open_sandbox
from prismenv.isolation.kinds import FORMS, problem_of
from prismenv.isolation.jailed import JailedSandbox
found = {{"kinds": available_kinds(), "forms": {{form: problem_of(form) for form in FORMS}}, "outcomes": {{}}}}
with BlockingSandbox(open_sandbox(SandboxSettings(require="unprivileged"), 1)) as sandbox:
    for name, (solution, tests) in json.loads(sys.argv[1]).items():
        verdict = sandbox.judge(solution, tests)
        found["outcomes"][name] = verdict.outcome
        found["isolation"] = verdict.isolation
print(json.dumps(found))
"""
JUDGED = {
    "right": ("def one(): return 1", "def test_a(): assert one() == 1"),
    "wrong": ("def one(): return 2", "def test_a(): assert one() == 1"),
    "reads": ("def text(): return open('/etc/passwd').read()", "def test_a(): assert not text()"),
    "socket": ("import socket\ndef s(): return socket.socket()", "def test_a(): assert not s()"),
    "root": ("import os\ndef uid(): return os.getuid()", "def test_a(): assert uid() != 0"),
    "changes mode": ("import os\ndef c(): os.chmod('/etc', 0o777); return True", "def test_a(): assert not c()"),
}


def python_of_everybody() -> str:
    """An interpreter of this version that another user may run."""
    name = f"python3.{sys.version_info.minor}"
    choice = [sys.executable, f"/usr/bin/{name}", f"/usr/local/bin/{name}"]
    for path in [Path(each).resolve() for each in choice if Path(each).exists()]:
        if all(folder.stat().st_mode & 0o001 for folder in path.parents):
            return str(path)
    pytest.skip("no interpreter that another user may run")


def as_nobody(*, off: bool) -> dict[str, dict[str, str]]:
    python = python_of_everybody()
    packages = [str(ROOT), sysconfig.get_path("purelib"), sysconfig.get_path("platlib")]
    if not all(folder.stat().st_mode & 0o001 for path in packages for folder in [Path(path), *Path(path).parents]):
        pytest.skip("another user may not read the packages")
    command = [python, "-c", AS_NOBODY.format(off=off, uid=NOBODY), json.dumps(JUDGED)]
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(packages), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(command, env=environment, cwd="/", capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, dict[str, str]] = json.loads(done.stdout)
    return found


@pytest.mark.skipif(os.geteuid() != 0, reason="it takes root to become somebody else")
@pytest.mark.parametrize("off", [False, True], ids=["with user namespaces", "where user namespaces are forbidden"])
def test_another_user_has_the_unprivileged_kind(off: bool) -> None:
    found = as_nobody(off=off)
    assert found["kinds"]["unprivileged"] == "ok"
    assert found["kinds"]["full"] != "ok"
    assert bool(found["forms"]["userns"]) == off
    assert not found["forms"]["alone"]
    assert found["isolation"] == "unprivileged"
    assert found["outcomes"] == {
        "right": "passed",
        "wrong": "failed",
        "reads": "errored",
        "socket": "errored",
        "root": "passed",
        "changes mode": "errored",
    }


CLONES = """
import json, os, sys, threading, random
sys.path.insert(0, {guests!r})
import zygote_kernel as kernel_module
kernel = kernel_module.Kernel(json.loads(sys.argv[1]))
flags = kernel_module.CLONE_NEWPID | (0 if os.geteuid() == 0 else kernel_module.CLONE_NEWUSER)
draws = set()
for turn in range(30):
    reader, writer = os.pipe()
    pid, pidfd = kernel.cloning(flags)()
    if pid == 0:
        thread = threading.Thread(target=lambda: None)
        thread.start()
        thread.join()
        inner = os.fork()
        if inner == 0:
            os._exit(os.getpid())
        status = os.waitstatus_to_exitcode(os.waitpid(inner, 0)[1])
        is_main = threading.main_thread().ident == threading.get_ident()
        os.write(writer, f"{{os.getpid()}} {{is_main}} {{status > 1}} {{random.random()}}".encode())
        os._exit(7)
    os.close(writer)
    words = os.read(reader, 200).decode().split()
    os.close(reader)
    os.close(pidfd)
    assert words[:3] == ["1", "True", "True"], words
    draws.add(words[3])
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
assert len(draws) == 30, "children draw the same random numbers"
print("ok")
"""


def runnable(name: str) -> str | None:
    """The interpreter of that name, where there is one that runs."""
    choice = [shutil.which(name), *sorted(map(str, Path.home().glob(f".pyenv/versions/{name[6:]}.*/bin/{name}")))]
    for path in filter(None, choice):
        if subprocess.run([path, "-c", ""], capture_output=True, check=False).returncode == 0:
            return path
    return None


@pytest.mark.parametrize("name", PYTHONS)
def test_a_clone_is_a_whole_fork_on_every_python(name: str) -> None:
    python = runnable(name)
    if python is None:
        pytest.skip(f"there is no {name}")
    script = CLONES.format(guests=str(ROOT / "sandbox" / "guests"))
    command = [python, "-I", "-S", "-B", "-c", script, json.dumps(numbers_here())]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200, check=False)
    assert done.stdout == "ok\n", done.stderr
