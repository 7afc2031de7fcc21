"""What reaches a terminal, a pipe, a log: never a control character of a model's, a test's or a file's."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from prismenv.words.visible import visible

HOSTILE = "\x1b[31mred\x1b]0;title\x07 \x9b2J \x08\x7f \u202egnp.exe \r over \x00 end"
FULL = Path("/dev/full")
ESCAPES = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e]")


@pytest.fixture
def hostile(judged: Any) -> Any:
    """A solution that prints and raises control characters, and a test that repeats them."""
    judged.write("hostile.py", f"def double(number):\n    print({HOSTILE!r})\n    raise ValueError({HOSTILE!r})\n")
    return judged


def own_colours_removed(text: str) -> str:
    """Without the sequences that the command itself writes: colours, the cursor, lines erased."""
    return re.sub(r"\x1b\[[0-9;?]*[mhlKAG]|\r", "", text)


def test_a_verdict_shows_control_characters_written_out(hostile: Any) -> None:
    answer = hostile("judge", "hostile.py", "tests.py")
    assert not ESCAPES.search(answer.out)
    assert r"\x1b[31mred\x1b]0;title\x07 \x9b2J" in answer.out


def test_a_terminal_gets_no_sequence_but_the_commands_own(hostile: Any) -> None:
    shown = hostile.on_terminal("judge", "hostile.py", "tests.py").out
    assert "\x1b[1;31m" in shown  # its own colour
    assert "\x1b[31mred" not in shown
    assert not ESCAPES.search(own_colours_removed(shown))


def test_json_carries_them_escaped_and_whole(hostile: Any) -> None:
    answer = hostile("judge", "hostile.py", "tests.py", "--json")
    assert answer.out.isascii()
    assert not ESCAPES.search(answer.out)
    assert HOSTILE.replace("\x00", "\u2400").split("\r")[0] in answer.json["cases"][0]["message"]


def test_a_message_on_standard_error_is_made_visible(judged: Any) -> None:
    answer = judged("judge", "a\x1b[2Jb.py", "tests.py")
    assert answer.code == 2
    assert r"a\x1b[2Jb.py" in answer.err
    assert "\x1b" not in answer.err


def test_what_is_logged_makes_no_lines_of_the_logs_own() -> None:
    said = "a step said\nerror: nobody logged this\n\x1b[2J"
    program = f"open_log({{}})\nlogger.warning('{{}}: {{}}', 'environment', {said!r})\nlogger.warning('next')"
    command = [sys.executable, "-c", f"from loguru import logger\nfrom prismenv.cli.log import open_log\n{program}"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    lines = done.stderr.splitlines()
    assert [line for line in lines if not line.startswith("  ")] == [
        "warning: environment: a step said",
        "warning: next",
    ]
    assert "\x1b" not in done.stderr


def test_a_solution_that_is_no_utf8_is_judged_and_told_of(judged: Any) -> None:
    judged.write("bytes.py", 'def double(number):\n    return "\udcff"\n')
    for words in (["--json"], []):
        answer = judged("judge", "bytes.py", "tests.py", *words)
        assert answer.code == 1
        assert 'Traceback (most recent call last):\n  File "/' not in answer.err


def test_a_terminal_that_is_not_utf8_gets_what_it_can_show(judged: Any) -> None:
    judged.write("speaks.py", 'def double(number):\n    raise ValueError("größer → ü")\n')
    answer = judged("judge", "speaks.py", "tests.py", PYTHONIOENCODING="ascii")
    assert answer.code == 1
    assert r"gr\xf6\xdfer \u2192" in answer.out
    listed = judged("list", "policies", PYTHONIOENCODING="ascii")
    assert listed.code == 0
    assert listed.out.isascii()


def test_no_color_means_no_colour(judged: Any) -> None:
    coloured = judged.on_terminal("judge", "solution.py", "tests.py").out
    assert "\x1b[1;32m" in coloured
    plain = judged.on_terminal("judge", "solution.py", "tests.py", NO_COLOR="1").out
    assert "\x1b[1;32m" not in plain
    assert "32m" not in plain


def test_a_pipe_gets_no_escape_sequence(judged: Any) -> None:
    for words in (["judge", "solution.py", "tests.py"], ["list"]):
        assert "\x1b" not in judged(*words).out


@pytest.mark.skipif(not FULL.exists(), reason="this system has no /dev/full")
def test_a_full_disk_behind_standard_output_is_told_with_code_3(judged: Any) -> None:
    with FULL.open("w") as full:
        done = subprocess.run(
            [str(judged.command), "judge", "solution.py", "tests.py"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            cwd=judged.folder,
            env=judged.environment,
            timeout=200,
            check=False,
        )
    assert done.returncode == 3
    assert done.stderr == "error: No space left on device\n"


def test_visible_keeps_text_and_writes_controls_out() -> None:
    assert visible("plain ü → 😀\n\ttab") == "plain ü → 😀\n\ttab"
    written = visible(HOSTILE)
    assert not ESCAPES.search(written)
    assert written.startswith(r"\x1b[31mred")
    assert visible("\udcff") == r"\udcff"
    json.dumps(visible("\ud800")).encode()


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&-", ">&- 2>&- <&-"])
def test_a_closed_stream_is_as_good_as_none(judged: Any, closed: str) -> None:
    for words, code in (("judge solution.py tests.py", 0), ("list recipes", 0), ("run nothing", 2)):
        command = ["bash", "-c", f'"{judged.command}" {words} {closed}']
        done = subprocess.run(
            command, cwd=judged.folder, env=judged.environment, capture_output=True, text=True, check=False, timeout=200
        )
        assert (done.returncode, "Traceback" in done.stderr) == (code, False), done.stderr
