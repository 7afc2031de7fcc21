"""Images and sounds of an observation whose text holds a placeholder for each.

`{"obs_str": "before <image> and after", "multi_modal_data": {"<image>": [image]}}`: the keys of the data are the
placeholders, and the n-th of a kind in the text stands for the n-th of its list. An item may be bytes, an image of
Pillow's, an array of NumPy's, or anything that JSON has; over the wire bytes and images are `{"media_type", "base64"}`.
"""

import base64
import io
from collections.abc import Mapping
from typing import Any

TEXT_KEY = "obs_str"  # of an observation that is text, where an object is wanted
MEDIA_KEY = "multi_modal_data"
PLACEHOLDERS = ("<image>", "<audio>")  # that have to have data wherever there is any
_SIGNATURES = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF8", "image/gif"),
    (b"OggS", "audio/ogg"),
    (b"fLaC", "audio/flac"),
    (b"ID3", "audio/mpeg"),
)
_CONTAINERS = {b"WEBP": "image/webp", b"WAVE": "audio/wav"}  # of RIFF


def media_of(observation: object) -> Any:
    """The data of an observation in whatever form; None: it has none."""
    if isinstance(observation, Mapping):
        return observation.get(MEDIA_KEY)
    return getattr(observation, MEDIA_KEY, None)


def check_media(observation: object) -> None:
    """ValueError where the text's placeholders and the data are not as many as each other."""
    media = media_of(observation)
    if media is None:
        return
    text = observation.get(TEXT_KEY) if isinstance(observation, Mapping) else getattr(observation, TEXT_KEY, None)
    if not isinstance(text, str):
        raise ValueError(f"there is {MEDIA_KEY}, and no text in {TEXT_KEY}")  # noqa: TRY004 - caught as all of these
    if not isinstance(media, Mapping):
        raise ValueError(f"{MEDIA_KEY} must be a mapping of placeholders to lists, found {type(media).__name__}")  # noqa: TRY004
    for placeholder in dict.fromkeys((*media, *PLACEHOLDERS)):
        items = media.get(placeholder, ())
        if not isinstance(placeholder, str) or not placeholder or not isinstance(items, list | tuple):
            raise ValueError(f"{MEDIA_KEY}: {placeholder!r:.60} must be a placeholder with a list")
        if text.count(placeholder) != len(items):
            raise ValueError(
                f"{TEXT_KEY} has {text.count(placeholder)} of {placeholder:.60}, and {MEDIA_KEY} has {len(items)}"
            )


def media_document(media: Mapping[str, Any]) -> dict[str, list[Any]]:
    """The data with bytes, images and arrays as JSON has them; other items as they are."""
    return {placeholder: [_item(each) for each in items] for placeholder, items in media.items()}


def _item(item: Any) -> Any:
    if isinstance(item, bytes | bytearray):
        return _encoded(bytes(item), _media_type(bytes(item[:12])))
    if hasattr(item, "save") and hasattr(item, "mode"):  # an image of Pillow's
        written = io.BytesIO()
        item.save(written, format="PNG")
        return _encoded(written.getvalue(), "image/png")
    return item.tolist() if hasattr(item, "tolist") else item


def _encoded(data: bytes, media_type: str) -> dict[str, str]:
    return {"media_type": media_type, "base64": base64.b64encode(data).decode()}


def _media_type(start: bytes) -> str:
    for signature, media_type in _SIGNATURES:
        if start.startswith(signature):
            return media_type
    container = _CONTAINERS.get(start[8:12]) if start.startswith(b"RIFF") else None
    return container or "application/octet-stream"
