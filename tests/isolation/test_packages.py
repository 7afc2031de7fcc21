"""Package sets: what is shown of the installed packages, and numpy's arrays between tests and solution."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import yaml

from prismenv.contracts.jail import Sandbox
from prismenv.isolation.blocking import BlockingSandbox
from prismenv.isolation.packages import find_packages
from prismenv.isolation.portable import PortableSandbox
from prismenv.words.errors import ConfigurationException
from prismenv.words.fileset import FileSet
from prismenv.words.verdict import VerdictMode

CASES = yaml.safe_load((Path(__file__).parent / "numpy_cases.yaml").read_text(encoding="utf-8"))
FORMS = ("portable", "full", "userns", "alone")
COUNTS = {"passed": "tests_passed_num", "failed": "tests_failed_num"}


@pytest.fixture(scope="module")
def numpy_sandbox(new_sandbox: Callable[..., Sandbox]) -> Iterator[Callable[[str], BlockingSandbox]]:
    """Gives the sandbox of a form that offers numpy, opened when it is first asked for."""
    opened: dict[str, BlockingSandbox] = {}
    with ExitStack() as stack:

        def of(form: str) -> BlockingSandbox:
            if form not in opened:
                opened[form] = stack.enter_context(BlockingSandbox(new_sandbox(form, packages=["numpy"])))
            return opened[form]

        yield of


@pytest.mark.sampled("userns", "portable", every=4)
@pytest.mark.parametrize("mode", ["split", "shared"])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("case", [pytest.param(case, id=case["name"]) for case in CASES])
def test_verdict_with_numpy_is_the_expected_one(
    case: dict[str, Any], form: str, mode: VerdictMode, numpy_sandbox: Callable[[str], BlockingSandbox]
) -> None:
    if mode not in case.get("modes", ("split", "shared")):
        pytest.skip(f"a {mode} verdict has nothing to find there")
    verdict = numpy_sandbox(form).judge(case["solution"], case["tests"], verdict=mode)
    expected = case["expect"] | case.get("differs", {}).get(mode, {})
    for key, value in expected.items():
        found = getattr(verdict, COUNTS.get(key, key))
        assert found == value, f"{key}\n{verdict.model_dump_json(indent=1)}\n{verdict.output}"


@pytest.mark.parametrize("mode", ["split", "shared"])
def test_no_file_of_a_solution_takes_the_name_of_an_offered_package(
    mode: VerdictMode, new_sandbox: Callable[..., Sandbox]
) -> None:
    agreeing = "def assert_type(value, kind): return 6\ndef total(numbers): return 0"
    tests = "import typing_extensions\ndef test_a(): assert typing_extensions.assert_type(0, int) == 0 == total([])"
    with BlockingSandbox(new_sandbox("portable", packages=["typing_extensions"])) as sandbox:
        alone = sandbox.judge(FileSet(files={"typing_extensions.py": agreeing}), tests, verdict=mode)
        beside = {"main.py": "def total(numbers): return 0", "typing_extensions.py": agreeing}
        noted = sandbox.judge(FileSet(files=beside), tests, verdict=mode)
    assert (alone.outcome, noted.outcome) == ("passed", "passed"), alone.output + noted.output
    assert "typing_extensions.py of the solution is no module" in noted.notes[0]


@pytest.mark.parametrize("form", FORMS)
def test_without_a_package_set_there_are_no_packages(form: str, warm_sandbox: Callable[[str], BlockingSandbox]) -> None:
    verdict = warm_sandbox(form).judge("import numpy\n", "def test_a(): pass")
    assert (verdict.outcome, verdict.fault) == ("errored", "candidate"), verdict.output
    assert "No module named 'numpy'" in verdict.output


def test_a_package_that_is_not_installed_is_named_with_what_to_do() -> None:
    with pytest.raises(ConfigurationException, match="not installed where prismenv runs: no-such-package") as caught:
        PortableSandbox(1, packages=["numpy", "no-such-package"])
    assert caught.value.hint == "Install what is missing: pip install no-such-package"


def test_a_module_that_is_named_for_its_package_is_told_the_package() -> None:
    with pytest.raises(ConfigurationException) as caught:
        find_packages(["yaml"])
    assert "the module yaml comes with PyYAML" in str(caught.value.hint)


def test_a_package_is_shown_with_what_it_requires_and_never_imported_here() -> None:
    program = (
        "import sys, json; from prismenv.isolation.packages import find_packages; found = find_packages(['httpx']); "
        "print(json.dumps([found.modules, [e.name for e in found.entries], 'httpx' in sys.modules]))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    modules, entries, imported = json.loads(done.stdout)
    assert modules == ["httpx"]
    assert {"httpx", "httpcore", "h11", "certifi", "idna", "anyio"} <= set(entries)
    assert not {"pydantic", "numpy", "pytest"} & set(entries)
    assert not imported


def judged(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    (folder / "solution.py").write_text("import numpy as np\ndef ones(): return np.ones(2)\n", encoding="utf-8")
    (folder / "tests.py").write_text("def test_a(): assert ones().tolist() == [1, 1]\n", encoding="utf-8")
    command = [sys.executable, "-m", "prismenv", "judge", "solution.py", "tests.py", *options]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_the_command_offers_packages_by_name(tmp_path: Path) -> None:
    assert judged(tmp_path, "--packages", "numpy").returncode == 0
    alone = judged(tmp_path)
    assert "No module named 'numpy'" in alone.stdout
    assert alone.stderr == "note: numpy is installed here, but not offered to the code; --packages numpy offers it\n"
    assert "--packages rich,numpy offers it" in judged(tmp_path, "--packages", "rich").stderr
    refused = judged(tmp_path, "--packages", "numpy, no-such-package")
    assert refused.returncode == 2
    assert "pip install no-such-package" in refused.stderr
