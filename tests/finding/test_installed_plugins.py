"""Installed plugins: whatever one package gets wrong, the others work and the reason is known."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from prismenv.finding.plugins import PluginSet, installed, load_plugins, plugin_manager, providers
from prismenv.words.events import Event

PROVIDER = """\
import prismenv
from prismenv.contracts.transport import ProviderEntry

@prismenv.hookimpl
def prismenv_providers():
    return [ProviderEntry(name="{name}", summary="a test's", open=print)]
"""
Install = Callable[..., PluginSet]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Installs packages of one module each, as pip would lay them down, and loads all plugins anew."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def make(**packages: str) -> PluginSet:
        for name, text in packages.items():
            monkeypatch.delitem(sys.modules, name, raising=False)
            (tmp_path / f"{name}.py").write_text(text)
            folder = tmp_path / f"{name}-1.0.dist-info"
            folder.mkdir()
            (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
            (folder / "entry_points.txt").write_text(f"[prismenv]\nmain = {name}\n")
        return load_plugins()

    return make


def reason(plugins: PluginSet, origin: str) -> str:
    (problem,) = [item for item in plugins.problems if item.origin == origin]
    return problem.reason


def test_our_own_providers_and_policies_come_through_the_same_door() -> None:
    assert {"samples", "scripted", "simulated"} <= providers().keys()
    assert {"grid", "mcts", "prismbench", "random"} <= installed().policies().keys()
    assert all(entry.origin == "built-in" for entry in [*providers().values(), *installed().policies().values()])
    assert list(providers()) == sorted(providers())
    assert plugin_manager() is installed().manager


def test_an_installed_package_brings_a_phase_and_a_policy(install: Install) -> None:
    text = """
import prismenv

class Mine(prismenv.Phase):
    pass

@prismenv.hookimpl
def prismenv_phases():
    return [prismenv.PhaseEntry("mine", "a test's", Mine), prismenv.PhaseEntry("phase_1", "a test's", Mine), 3]

@prismenv.hookimpl
def prismenv_policies():
    return [prismenv.PolicyEntry("own", "a test's", print)]
"""
    plugins = install(third_pack=text)
    assert (plugins.phases()["mine"].origin, plugins.policies()["own"].origin) == ("third_pack", "third_pack")
    assert plugins.phases()["phase_1"].origin == "built-in"
    reasons = [item.reason for item in plugins.problems if item.origin == "third_pack"]
    assert "prismenv_phases: 'phase_1' is there already, from built-in; rename one" in reasons
    assert "prismenv_phases gave 3; expected a PhaseEntry" in reasons


def test_an_installed_package_brings_a_provider(install: Install) -> None:
    plugins = install(first_pack=PROVIDER.format(name="echoing"))
    assert plugins.providers()["echoing"].origin == "first_pack"
    assert "simulated" in plugins.providers()
    assert plugins.problems == []


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("def broken(:\n", "SyntaxError"),
        ("import no_such_module_at_all\n", "No module named 'no_such_module_at_all'"),
        ("raise SystemExit(1)\n", "ends the process"),
        ("import prismenv\n@prismenv.hookimpl\ndef prismenv_provider(): ...\n", "unknown hook 'prismenv_provider'"),
        ("import prismenv\n@prismenv.hookimpl\ndef prismenv_event(evnt): ...\n", "evnt"),
    ],
)
def test_a_broken_package_hides_no_other(install: Install, text: str, told: str) -> None:
    plugins = install(bad_pack=text, good_pack=PROVIDER.format(name="echoing"))
    assert "echoing" in plugins.providers()
    assert "simulated" in plugins.providers()
    assert told in reason(plugins, "bad_pack")


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("return 7", "expected a list"),
        ("return 'echo'", "expected a list"),
        ("return ['echo']", "expected a ProviderEntry"),
        ("raise KeyError('x')", "KeyError"),
    ],
)
def test_a_hook_that_gives_nonsense_hides_no_other(install: Install, body: str, told: str) -> None:
    text = f"import prismenv\n@prismenv.hookimpl\ndef prismenv_providers():\n    {body}\n"
    plugins = install(bad_pack=text, good_pack=PROVIDER.format(name="echoing"))
    assert "echoing" in plugins.providers()
    plugins.providers()
    assert told in reason(plugins, "bad_pack")


def test_a_provider_s_name_can_be_taken_only_once_and_never_from_us(install: Install) -> None:
    plugins = install(aaa_pack=PROVIDER.format(name="simulated"))
    assert plugins.providers()["simulated"].origin == "built-in"
    assert "'simulated' is there already, from built-in" in reason(plugins, "aaa_pack")


def test_packages_bring_workspaces_and_modules_of_environments(install: Install, tmp_path: Path) -> None:
    text = """\
import pathlib, prismenv

@prismenv.hookimpl
def prismenv_workspaces():
    return [pathlib.Path(__file__).parent, pathlib.Path("/no/such/folder")]

@prismenv.hookimpl
def prismenv_environments():
    return ["good_pack_environments", None]
"""
    plugins = install(good_pack=text)
    assert plugins.workspaces() == [(tmp_path, "good_pack")]
    assert plugins.environment_modules() == [("good_pack_environments", "good_pack")]
    assert ["/no/such/folder" in item.reason or "None" in item.reason for item in plugins.problems] == [True, True]


def test_hooks_that_observe_are_called_through_the_manager(install: Install) -> None:
    text = "import prismenv\nseen = []\n@prismenv.hookimpl\ndef prismenv_event(event):\n    seen.append(event)\n"
    plugins = install(watching_pack=text)
    event = Event("run_started", "run-1", 0.0)
    plugins.manager.hook.prismenv_event(event=event)
    assert plugins.manager.get_plugin("watching_pack:main").seen == [event]
