"""Files into a session and out of it: no path of the code's is trusted, sizes and numbers are held."""

import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prismenv.isolation.blocking import BlockingSandbox, BlockingSession
from prismenv.isolation.kinds import FORMS
from prismenv.isolation.sessionfiles import MOST_FILES, MOST_PARTS, checked_files, read_tree, write_tree
from prismenv.words.errors import ConfigurationException, SandboxException

ALL = ["portable", *FORMS]


@pytest.fixture(params=[*ALL, "service"])
def session(
    request: pytest.FixtureRequest, warm_sandbox: Callable[[str], BlockingSandbox]
) -> Iterator[BlockingSession]:
    with warm_sandbox(request.param).open() as opened:
        yield opened


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[int]:
    (tmp_path / "inside").mkdir()
    descriptor = os.open(tmp_path / "inside", os.O_RDONLY | os.O_DIRECTORY)
    yield descriptor
    os.close(descriptor)


def test_files_go_in_and_come_out(session: BlockingSession) -> None:
    session.put_files({"data/in.txt": "grün", "raw.bin": b"\x00\xff"})
    done = session.execute("""
from pathlib import Path
Path("data/out.txt").write_text(Path("data/in.txt").read_text()[::-1])
Path("raw.bin").write_bytes(Path("raw.bin").read_bytes() * 2)
Path("raw.bin").stat().st_size
""")
    assert done.result == "4", done
    files = session.get_files()
    assert files.files == {"data/in.txt": "grün".encode(), "data/out.txt": "nürg".encode(), "raw.bin": b"\x00\xff" * 2}
    assert files.skipped == {}


def test_what_is_there_is_replaced_and_what_is_in_the_way_is_told(session: BlockingSession) -> None:
    session.put_files({"a": "1"})
    session.execute("import os\nos.mkdir('folder')\nos.symlink('/etc', 'link')\nos.symlink('/etc/passwd', 'file')")
    session.put_files({"a": "2", "file": "mine"})
    assert (
        session.execute("open('a').read(), open('file').read(), os.path.islink('file')").result
        == "('2', 'mine', False)"
    )
    for path in ("folder", "link/passwd", "a/below"):
        with pytest.raises(SandboxException, match=path) as raised:
            session.put_files({path: "x"})
        assert raised.value.code == "file_refused"
    assert session.get_files().skipped == {"link": "it is no regular file"}


def test_links_pipes_and_odd_names_are_skipped_and_named(session: BlockingSession) -> None:
    session.execute("""
import os
os.symlink("/etc/passwd", "secret")
os.symlink("/", "root")
os.symlink(".", "circle")
open("good", "w").write("g")
os.link("good", "again")
for name in (b"bad\\xff", "new\\nline", "back\\\\slash"):
    open(name, "w").close()
try:
    os.mkfifo("pipe")
except OSError:
    pass
""")
    found = session.get_files()
    assert found.files == {"again": b"g", "good": b"g"}
    assert {"secret", "root", "circle"} <= set(found.skipped)
    assert set(found.skipped.values()) <= {"it is no regular file", "its name, or where it stands, cannot be told"}


def test_too_deep_too_many_and_too_large_are_left_out(session: BlockingSession) -> None:
    session.execute("""
import os
for name in range(1100):
    open(f"f{name}", "w").close()
os.makedirs("/".join("d" * 30))
open("/".join("d" * 30) + "/deep", "w").close()
with open("large", "wb") as file:
    file.truncate(60 * 2**20)
""")
    found = session.get_files()
    assert len(found.files) == MOST_FILES
    assert "large" in found.skipped
    assert any(path.startswith("d/d/") for path in found.skipped)


@pytest.mark.parametrize(
    "path",
    ["", "/etc/x", "../x", "a/../../x", "./x", "a//b", "a/", "x\0y", "x\ny", "a\\b", "x" * 2000, "/".join("d" * 17)],
)
def test_a_path_that_is_none_is_refused(path: str, warm_sandbox: Callable[[str], BlockingSandbox]) -> None:
    with warm_sandbox("portable").open() as session, pytest.raises(ConfigurationException, match="the path"):
        session.put_files({path: "x"})


def test_too_much_at_once_is_refused(warm_sandbox: Callable[[str], BlockingSandbox]) -> None:
    with warm_sandbox("portable").open() as session:
        with pytest.raises(ConfigurationException, match="too many"):
            session.put_files({f"f{number}": "" for number in range(MOST_FILES + 1)})
        with pytest.raises(ConfigurationException, match="bytes"):
            session.put_files({"f": b"x" * (65 * 2**20)})
        with pytest.raises(ConfigurationException, match="is no text"):
            session.put_files({"f": "\ud800"})


NAMES = st.text(min_size=1, max_size=12).filter(lambda name: name.isprintable() and not set(name) & set("/\\"))
PATHS = st.lists(NAMES, min_size=1, max_size=MOST_PARTS).map("/".join)


@given(st.dictionaries(PATHS | st.text(max_size=20), st.binary(max_size=50), max_size=6))
def test_what_is_written_is_read_again_and_nothing_lands_outside(files: dict[str, bytes]) -> None:
    with tempfile.TemporaryDirectory() as outside:
        inside = Path(outside) / "inside"
        inside.mkdir()
        descriptor = os.open(inside, os.O_RDONLY | os.O_DIRECTORY)
        try:
            write_tree(descriptor, checked_files(files, 10_000), None)
        except (ConfigurationException, SandboxException):
            pass
        else:
            assert read_tree(descriptor).files == files
        finally:
            os.close(descriptor)
        assert [each.name for each in Path(outside).iterdir()] == ["inside"]
        assert not [each for each in inside.rglob("*") if each.is_symlink()]


def test_a_folder_that_becomes_a_link_leads_nowhere(folder: int, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (tmp_path / "inside" / "way").symlink_to(outside)
    with pytest.raises(SandboxException):
        write_tree(folder, {"way/x": b"1"}, None)
    assert not list(outside.iterdir())
    assert read_tree(folder).skipped == {"way": "it is no regular file"}
