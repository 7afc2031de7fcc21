"""What a model's text is worth: cleaned, checked for size and type, and extracted as the agent file says."""

import json
import re
from typing import Any

from prismenv.answers.code import extract_code
from prismenv.sessions.readers import Misfit
from prismenv.sessions.template import CompiledTemplate
from prismenv.words.errors import AgentCommunicationException
from prismenv.words.jsonkind import json_kind

MAX_ANSWER_BYTES = 2**20
UNUSABLE = "no_usable_answer"
MISFIT = "bad_answer"
_FENCED = re.compile(r"```[\w-]*[ \t]*\r?\n(.*?)```", re.DOTALL)
_JSON_TYPES: dict[str, tuple[type, ...]] = {
    "array": (list,),
    "boolean": (bool,),
    "integer": (int,),
    "null": (type(None),),
    "number": (int, float),
    "object": (dict,),
}


def receive(role: str, text: str, limit_bytes: int) -> str:
    """`text` as it can be kept: lone surrogates replaced. Raises `bad_answer`, `answer_too_large`."""
    if not isinstance(text, str):
        raise AgentCommunicationException(
            f"{role}: the provider answered with {json_kind(text)}, not text", code="bad_answer", subject=role
        )
    size = len(text)
    if not text.isascii():
        encoded = text.encode("utf-8", "surrogatepass")
        size = len(encoded)
        if size <= limit_bytes:
            text = encoded.decode("utf-8", "replace")
    if size > limit_bytes:
        raise AgentCommunicationException(
            f"{role}: the answer has {size:,} bytes; at most {limit_bytes:,} are taken",
            code="answer_too_large",
            subject=role,
            hint="Lower max_tokens in model_params, or look at what the model does.",
        )
    return text


def extract(role: str, template: CompiledTemplate, raw: str) -> str:
    """The usable part of an answer; AgentCommunicationException `no_usable_answer` where there is none.

    An answer that has not the form that its reader wants is a `bad_answer`, caused by the Misfit that says why.
    """
    if not raw or raw.isspace():
        raise _unusable(role, "the model answered nothing")
    if template.reader is not None:
        try:
            return template.reader.read(raw)
        except Misfit as misfit:
            raise AgentCommunicationException(
                f"{role}: the answer has not the form that it must have: {misfit} The answer: {excerpt(raw)}",
                code=MISFIT,
                subject=role,
            ) from misfit
    if template.extraction == "code":
        code = extract_code(raw, template.language)
        if code is None:
            raise _unusable(role, f"the answer holds no code: {excerpt(raw)}")
        return code
    if template.extraction == "json":
        return _json_text(role, template.json_type, raw)
    return raw


def excerpt(text: str, most: int = 200) -> str:
    """The beginning of a text for an error message, on one line."""
    shown = " ".join(text[: most + 1].split())
    return repr(shown[:most] + ("…" if len(text) > most else ""))


def _unusable(role: str, why: str) -> AgentCommunicationException:
    return AgentCommunicationException(f"{role}: {why}", code=UNUSABLE, subject=role)


def _json_text(role: str, json_type: str | None, raw: str) -> str:
    candidates = [raw, *(match.group(1) for match in _FENCED.finditer(raw))]
    for candidate in candidates:
        try:
            value = json.loads(candidate, parse_constant=_no_constant)
        except (ValueError, RecursionError):
            continue
        if _is_of(value, json_type):
            return candidate.strip()
    raise _unusable(role, f"the answer holds no JSON {json_type or 'value'}: {excerpt(raw)}")


def _no_constant(word: str) -> Any:
    raise ValueError(f"{word} is no JSON")


def _is_of(value: Any, json_type: str | None) -> bool:
    if json_type is None:
        return True
    if isinstance(value, bool):  # a bool is an int to Python, not to JSON
        return json_type == "boolean"
    return isinstance(value, _JSON_TYPES[json_type])
