"""Help, version, completion, unknown words: what the command says of itself."""

import json
import subprocess
import sys
from typing import Any

import pytest

COMMANDS = ("run", "judge", "list", "runs", "report", "compare", "rejudge", "agents", "llm", "init", "eject", "doctor")
GROUPS = {"runs": ("list", "show", "export", "prune"), "agents": ("check", "list", "show"), "llm": ("try", "serve")}
PAGES = (*((name,) for name in COMMANDS), *((group, name) for group, names in GROUPS.items() for name in names))
# All pages from one process: what takes time is importing the engine.
HELP_OF_ALL = """
import json, sys
from prismenv.cli.main import main
for words in json.loads(sys.argv[1]):
    sys.argv = ["prismenv", *words, "--help"]
    print("@@", *words)
    try:
        main()
    except SystemExit as end:
        print("code", end.code)
"""


def test_help_names_every_command_and_gives_examples(shell: Any) -> None:
    answer = shell("--help")
    assert answer.code == 0
    assert all(f"\n  {name} " in answer.out for name in COMMANDS)
    assert "Examples:" in answer.out


def test_every_command_has_help_with_an_example_of_its_own(shell: Any) -> None:
    done = subprocess.run(
        [sys.executable, "-c", HELP_OF_ALL, json.dumps(PAGES)],
        capture_output=True,
        text=True,
        cwd=shell.folder,
        env=shell.environment,
        timeout=200,
        check=True,
    )
    pages = dict(page.split("\n", 1) for page in done.stdout.split("@@ ")[1:])
    assert list(pages) == [" ".join(words) for words in PAGES]
    for words, page in pages.items():
        assert page.startswith(f"Usage: prismenv {words} ")
        assert f"  prismenv {words}" in page.split("Example", 1)[1]
        assert page.endswith("code 0\n")
    assert done.stderr == ""


def test_the_version_is_the_packages(shell: Any) -> None:
    from prismenv import __version__

    answer = shell("--version")
    assert (answer.code, answer.out) == (0, f"prismenv {__version__}\n")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["jugde"], "Did you mean 'judge'"),
        (["judge", "--jsn"], "--json"),
        (["runs", "exprot"], "Did you mean 'export'"),
        (["run", "quickstrat"], "did you mean 'quickstart'?"),
        (["list", "recpies"], "did you mean 'recipes'?"),
        (["list", "--workspace", "nowhere"], "prismenv init nowhere makes a workspace there"),
    ],
)
def test_a_slip_is_bad_usage_and_the_nearest_right_word_is_named(shell: Any, words: list[str], said: str) -> None:
    answer = shell(*words)
    assert answer.code == 2
    assert said in answer.err
    assert "Traceback" not in answer.err


def test_completion_offers_commands_and_recipes(shell: Any) -> None:
    def complete(line: str) -> list[str]:
        words = line.split(" ")
        answer = shell(_PRISMENV_COMPLETE="complete_bash", COMP_WORDS=line, COMP_CWORD=str(len(words) - 1))
        return answer.out.split()

    assert complete("prismenv re") == ["report", "rejudge"]
    assert "quickstart" in complete("prismenv run quick")


def test_completion_is_silent_where_the_workspace_is_broken(shell: Any) -> None:
    shell.write("prismenv.yaml", "name: [")
    answer = shell(_PRISMENV_COMPLETE="complete_bash", COMP_WORDS="prismenv run q", COMP_CWORD="2")
    assert "Traceback" not in answer.err


def test_log_lines_go_to_standard_error_at_the_level_that_is_named(judged: Any) -> None:
    quiet = judged("judge", "solution.py", "tests.py", "--json")
    loud = judged("judge", "solution.py", "tests.py", "--json", PRISMENV_LOG="debug")
    assert json.loads(quiet.out)["success"] is json.loads(loud.out)["success"] is True
    wrong = judged("judge", "solution.py", "tests.py", PRISMENV_LOG="lowd")
    assert wrong.code == 2
    assert "levels are debug, info, warning, error" in wrong.err
