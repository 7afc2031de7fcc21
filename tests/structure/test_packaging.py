"""The wheel carries the workspace, and nothing that git does not know."""

import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
WORKSPACE = ("agents/", "configs/", "environments/", "sandbox/", "tests/attacks/")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    program = "import sys; from hatchling.build import build_wheel; print(build_wheel(sys.argv[1]))"
    subprocess.run([sys.executable, "-c", program, str(folder)], cwd=ROOT, check=True, capture_output=True, text=True)
    return next(folder.glob("*.whl"))


def tracked() -> set[str]:
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, check=True, capture_output=True, text=True)
    return {name for name in listed.stdout.splitlines() if (ROOT / name).exists()}


def test_the_wheel_has_the_tracked_files_of_package_and_workspace_and_no_others(wheel: Path) -> None:
    members = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    expected = {name for name in tracked() if name.startswith("prismenv/")}
    expected |= {f"prismenv/_workspace/{name}" for name in tracked() if name.startswith(WORKSPACE)}
    assert members == expected


def test_the_attack_suite_is_data_only() -> None:
    assert {Path(name).suffix for name in tracked() if name.startswith("tests/attacks/")} == {".yaml"}


def test_constraints_pin_every_core_dependency_and_name_no_host() -> None:
    text = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    pins = {line.split("==")[0].lower().replace("_", "-") for line in text.splitlines() if "==" in line}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for requirement in [*project["dependencies"], *project["optional-dependencies"]["test"]]:
        assert re.split(r">=|\[", requirement)[0].lower() in pins, requirement
    assert "://" not in text
    assert " @ " not in text


def test_no_tracked_file_is_large() -> None:
    assert not [name for name in tracked() if (ROOT / name).stat().st_size > 1_000_000]
