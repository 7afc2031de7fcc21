"""Images and sounds of an observation: their placeholders are counted, and they are written as JSON has them."""

import base64
import json
from dataclasses import dataclass, field
from typing import Any, BinaryIO

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prismenv import EnvironmentExecutionException, Observation
from prismenv.contracts.episode import as_step, result_document

PNG = b"\x89PNG\r\n\x1a\n and so on"


class Picture:
    """As much of Pillow's image as is used."""

    mode = "RGB"

    def save(self, fp: BinaryIO, **how: str) -> None:
        assert how == {"format": "PNG"}
        fp.write(PNG)


class Typed(Observation):
    obs_str: str
    multi_modal_data: dict[str, list[Any]]
    more: int = 3


@dataclass
class Plain:
    obs_str: str
    multi_modal_data: dict[str, list[Any]] = field(default_factory=dict)


def written(observation: Any) -> dict[str, Any]:
    document = result_document(as_step((observation, 0.5, False, {}), "environment_seen", "step"))
    return dict(json.loads(json.dumps(document))["observation"])


ENCODED = {"media_type": "image/png", "base64": base64.b64encode(PNG).decode()}
TEXT, DATA = "see <image> and <image>", {"<image>": [Picture(), PNG]}


@pytest.mark.parametrize(
    ("observation", "more"),
    [
        ({"obs_str": TEXT, "multi_modal_data": DATA, "step": 1}, {"step": 1}),
        (Typed(obs_str=TEXT, multi_modal_data=DATA), {"more": 3}),
        (Plain(TEXT, DATA), {}),
    ],
    ids=["mapping", "model", "dataclass"],
)
def test_images_are_written_in_whatever_form_the_observation_is(observation: Any, more: dict[str, Any]) -> None:
    assert written(observation) == {"obs_str": TEXT, "multi_modal_data": {"<image>": [ENCODED, ENCODED]}, **more}


@pytest.mark.parametrize(
    ("item", "told"),
    [
        (b"RIFF\0\0\0\0WAVEfmt ", "audio/wav"),
        (b"RIFF\0\0\0\0WEBPVP8 ", "image/webp"),
        (b"\xff\xd8\xff\xe0", "image/jpeg"),
        (b"?", "application/octet-stream"),
        (bytearray(b""), "application/octet-stream"),
    ],
)
def test_bytes_say_what_they_are(item: Any, told: str) -> None:
    document = written({"obs_str": "<audio>", "multi_modal_data": {"<audio>": [item]}})
    only = document["multi_modal_data"]["<audio>"][0]
    assert (only["media_type"], base64.b64decode(only["base64"])) == (told, bytes(item))


def test_what_json_has_and_arrays_pass_as_they_are() -> None:
    items = [np.array([[1, 2], [3, 4]]), "file.png", {"url": "x"}, [0.5, 0.25]]
    document = written({"obs_str": "<clip>" * 4, "multi_modal_data": {"<clip>": items}})
    assert document["multi_modal_data"]["<clip>"] == [[[1, 2], [3, 4]], "file.png", {"url": "x"}, [0.5, 0.25]]


@pytest.mark.parametrize(
    "observation",
    [
        {"obs_str": "<image>", "multi_modal_data": {}},
        {"obs_str": "<audio>", "multi_modal_data": {"<image>": []}},
        {"obs_str": "none", "multi_modal_data": {"<image>": [PNG]}},
        {"obs_str": "<image>", "multi_modal_data": {"<image>": [PNG, PNG]}},
        {"obs_str": "<image>", "multi_modal_data": {"<image>": PNG}},
        {"obs_str": "<image>", "multi_modal_data": [PNG]},
        {"obs_str": "x", "multi_modal_data": {"": []}},
        {"multi_modal_data": {"<image>": []}},
        Typed(obs_str="<image><image>", multi_modal_data={"<image>": [PNG]}),
        Plain("<image>"),
    ],
)
def test_placeholders_and_data_that_do_not_fit_are_the_authors_error(observation: Any) -> None:
    with pytest.raises(EnvironmentExecutionException) as wrong:
        as_step(observation, "environment_seen", "step")
    assert wrong.value.code == "bad_step"


def test_text_without_data_may_speak_of_images() -> None:
    assert written({"obs_str": "an <image> tag"}) == {"obs_str": "an <image> tag"}
    assert written("an <image> tag") == {"obs_str": "an <image> tag"}


@given(st.lists(st.sampled_from(["<image>", "<audio>", "word ", "<", ">"]), max_size=12), st.integers(0, 12))
def test_as_many_as_the_text_has_are_taken_and_no_others(parts: list[str], images: int) -> None:
    text = "".join(parts)
    sounds = text.count("<audio>")
    observation = {"obs_str": text, "multi_modal_data": {"<image>": [PNG] * images, "<audio>": [b""] * sounds}}
    if text.count("<image>") == images:
        assert len(written(observation)["multi_modal_data"]["<image>"]) == images
    else:
        with pytest.raises(EnvironmentExecutionException):
            written(observation)
