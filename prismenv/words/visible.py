"""Text that a terminal can be shown."""

import re

# C0 but tab and newline, DEL, C1, separators and marks that reorder a line, lone surrogates.
_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def visible(text: str) -> str:
    r"""`text` with its control characters written out, such as `\x1b`; tabs and newlines stay.

    What a model, a test or a file said may hold any of them, and a terminal obeys them.
    """
    return _CONTROLS.sub(lambda found: found[0].encode("unicode_escape").decode(), text)
