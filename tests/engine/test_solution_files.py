"""Solutions of several files: what a set may hold, and where it comes from."""

import json
import os
import unicodedata
from pathlib import Path, PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from prismenv.engine.solutionfiles import checked_files, read_files, read_folder
from prismenv.words.errors import ConfigurationException
from prismenv.words.fileset import MOST_BYTES, MOST_FILES, MOST_FOLDERS, FileSet

MAIN = {"main.py": "x = 1"}
PARTS = st.text(st.sampled_from("aA.é/\\ \0\nￊ"), max_size=6) | st.sampled_from(["..", ".", "", "main.py", "pkg"])


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("", "it is empty"),
        ("/etc/x.py", "it is absolute"),
        ("../x.py", "of dots"),
        ("a/../x.py", "of dots"),
        ("./x.py", "of dots"),
        ("a//x.py", "an empty part"),
        ("a/", "an empty part"),
        ("a\\x.py", "backslash"),
        ("x\0.py", "no text"),
        ("x\n.py", "no text"),
        ("x\u202e.py", "no text"),
        ("x\ud800.py", "no text"),
        ("x.py.", "ends with a dot or a space"),
        ("x.py ", "ends with a dot or a space"),
        ("e\u0301.py", "NFC"),
        ("a" * 201, "longer than 200"),
        ("ä" * 140 + ".py", "of more than 255 bytes"),
        ("a/" * 8 + "x.py", "more than 8 parts"),
    ],
)
def test_a_path_that_is_no_plain_relative_one_is_refused_with_the_reason(path: str, words: str) -> None:
    with pytest.raises(ValidationError, match="cannot be a file of a solution") as caught:
        FileSet(files={**MAIN, path: ""})
    assert words in str(caught.value)


@given(st.lists(PARTS, min_size=1, max_size=4).map("/".join))
def test_every_path_of_a_set_stays_below_its_folder_and_is_one_file_everywhere(path: str) -> None:
    try:
        files = FileSet(files={**MAIN, path: ""}).files
    except ValidationError:
        return
    for each in files:
        pure = PurePosixPath(each)
        assert not pure.is_absolute()
        assert ".." not in pure.parts
        assert str(pure) == each
        assert each.isprintable()
    assert len({unicodedata.normalize("NFKC", each).casefold() for each in files}) == len(files)


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({}, "it has no files"),
        ({**MAIN, "Main.py": ""}, "are the same file on some systems"),
        ({**MAIN, "ﬁle.txt": "", "file.txt": ""}, "are the same file on some systems"),
        ({**MAIN, "a": "", "a/b.py": ""}, "'a' is a file, and a folder of 'a/b.py'"),
        ({**MAIN, "A": "", "a/b.py": ""}, "'A' is a file, and a folder of 'a/b.py'"),
        ({f"f{number}.py": "" for number in range(MOST_FILES + 1)}, f"at most {MOST_FILES} are judged"),
        ({**MAIN, **{f"d{n}/f": "" for n in range(MOST_FOLDERS + 1)}}, f"at most {MOST_FOLDERS} are judged"),
        ({"main.py": "ä" * (MOST_BYTES // 2 + 1)}, f"at most {MOST_BYTES} are judged"),
        ({"main.py": "\ud800"}, "is no text"),
        ({"a.py": "", "b.py": ""}, "name its entry"),
        ({"data.txt": ""}, "name its entry"),
        ({"a.cpp": "", "b.cpp": ""}, "none of solution.[*], main.[*], Main.[*] is there"),
        ({"main.c": "", "main.cpp": ""}, "name its entry"),
        ({**MAIN, "solution/x.py": ""}, "has the name under which tests import the entry"),
    ],
)
def test_a_set_that_cannot_be_laid_out_is_refused_with_the_reason(files: dict[str, str], words: str) -> None:
    with pytest.raises(ConfigurationException, match=words):
        checked_files(files)


@pytest.mark.parametrize(
    ("files", "entry"),
    [
        (["main.py", "solution.py"], "solution.py"),
        (["solution/__init__.py", "main.py", "solution/x.py"], "solution/__init__.py"),
        (["main.py", "other.py"], "main.py"),
        (["bank.py", "pkg/x.py", "data.txt"], "bank.py"),
        (["pkg/__init__.py", "pkg/x.py"], "pkg/__init__.py"),
        (["solution.cpp", "main.cpp", "solution.h"], "solution.cpp"),
        (["main.rs", "helper.rs", "notes.md"], "main.rs"),
        (["Helper.java", "Main.java"], "Main.java"),
        (["count.js", "data.json", "lib/other.js"], "count.js"),
    ],
)
def test_an_entry_that_nobody_names_is_the_usual_one(files: list[str], entry: str) -> None:
    assert FileSet(files=dict.fromkeys(files, "")).main == entry


@pytest.mark.parametrize(("entry", "words"), [("no.py", "is none of its files"), ("data.txt", "is no program")])
def test_an_entry_that_cannot_be_one_is_refused(entry: str, words: str) -> None:
    with pytest.raises(ConfigurationException, match=words):
        checked_files({**MAIN, "data.txt": ""}, entry)


def test_modules_are_what_python_would_import_and_no_name_that_tests_have() -> None:
    paths = [
        "main.py", "pkg/__init__.py", "pkg/mod.py", "ns/deep/x.py", "both.py", "both/__init__.py", "my-script.py",
        "json.py", "unittest/case.py", "tests.py", "pytest/__init__.py", "numpy/x.py", "\uff4dath.py", "pkg/json.py",
        "1.py", "a.txt",
    ]  # fmt: skip
    files = FileSet(files=dict.fromkeys(paths, ""))
    assert files.modules() == {
        "both": "both/__init__.py",
        "main": "main.py",
        "ns": "",
        "ns.deep": "",
        "ns.deep.x": "ns/deep/x.py",
        "pkg": "pkg/__init__.py",
        "pkg.json": "pkg/json.py",
        "pkg.mod": "pkg/mod.py",
    }
    assert files.unnamed() == ["json.py", "numpy/x.py", "pytest/__init__.py", "tests.py", "unittest/case.py"]


def test_a_folder_is_read_without_its_tests_and_what_is_hidden(tmp_path: Path) -> None:
    for name in ("main.py", "pkg/a.py", "tests/test_a.py", "__pycache__/a.pyc", ".git/config", ".env", "suite.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"\xef\xbb\xbf\xff")
    (tmp_path / "link.py").symlink_to("/etc/passwd")
    files = read_folder(tmp_path, tests=tmp_path / "suite.py")
    assert sorted(files.files) == ["main.py", "pkg/a.py"]
    assert files.text.encode("utf-8", "surrogateescape") == b"\xef\xbb\xbf\xff"
    with pytest.raises(ConfigurationException, match=r"Did you mean pkg/a\.py\?"):
        read_folder(tmp_path, entry="pkg/aa.py")


def test_a_folder_of_too_much_is_not_read_to_its_end(tmp_path: Path) -> None:
    for number in range(MOST_FILES + 1):
        (tmp_path / f"{number}.txt").touch()
    with pytest.raises(ConfigurationException, match=f"at most {MOST_FILES} files"):
        read_folder(tmp_path)


def test_single_files_have_their_paths_from_the_entry(tmp_path: Path) -> None:
    (tmp_path / "src" / "data").mkdir(parents=True)
    for name in ("src/bank.py", "src/data/rates.txt", "outside.py"):
        (tmp_path / name).write_text(name, encoding="utf-8")
    files = read_files(tmp_path / "src" / "bank.py", [tmp_path / "src" / "data" / "rates.txt"])
    assert files.main == "bank.py"
    assert json.loads(files.model_dump_json())["files"] == {
        "bank.py": "src/bank.py",
        "data/rates.txt": "src/data/rates.txt",
    }
    with pytest.raises(ConfigurationException, match="not below the folder"):
        read_files(tmp_path / "src" / "bank.py", [tmp_path / "outside.py"])
    with pytest.raises(ConfigurationException, match="cannot be read"):
        read_files(tmp_path / "src" / "bank.py", [tmp_path / "src" / "none.py"])


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the system has no named pipes")
def test_a_pipe_among_single_files_is_refused_without_waiting_for_a_writer(tmp_path: Path) -> None:
    (tmp_path / "bank.py").touch()
    os.mkfifo(tmp_path / "pipe.py")
    with pytest.raises(ConfigurationException, match=r"pipe\.py cannot be read: it is no regular file"):
        read_files(tmp_path / "bank.py", [tmp_path / "pipe.py"])
