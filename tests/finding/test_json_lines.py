"""Files of JSON lines that cannot be read."""

import os
from pathlib import Path

import pytest

from prismenv import read_json_lines
from prismenv.words.errors import ConfigurationException


def test_what_is_no_regular_file_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jsonl")
    for path in (tmp_path / "pipe.jsonl", tmp_path):
        with pytest.raises(ConfigurationException, match=f"{path}: cannot be read: no regular file"):
            list(read_json_lines(path, "expected an object"))
