"""The provider `samples/FILE`: completions that were made elsewhere, several for each problem.

The file is JSON lines, plain or gzipped: `{"task_id", "completion"}` as HumanEval's, `{"id", "solution"}`, or `{"id",
"files", "entry"}` for a solution of several files, which is answered as a model would write it. The role
problem_solver is answered by the labels `problem_id` and `sample` (0 by default) of its session, with the text as it
stands in the file. Everything is read and checked when the model is opened.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from prismenv.contracts.transport import ChatTransport, ModelReference, ProviderContext, ProviderEntry
from prismenv.finding.jsonlines import bad_line, read_json_lines
from prismenv.words.chat import ChatReply, ChatRequest
from prismenv.words.errors import AgentCommunicationException, ConfigurationException
from prismenv.words.fileset import FileSet
from prismenv.words.nearness import nearest
from prismenv.words.usage import Usage

NAME = "samples"
ROLE = "problem_solver"
_EXPECTED = 'expected {"task_id": …, "completion": …} or {"id": …, "solution": … or "files": {…}}'

Samples = Mapping[str, list[str]]


class SampleTransport(ChatTransport):
    """Answers with the samples of one file."""

    def __init__(self, samples: Samples, path: Path, name: str) -> None:
        self._samples = samples
        self._path = path
        self._usage = Usage(model=name, calls=1)

    async def complete(self, request: ChatRequest) -> ChatReply:
        problem_id = self._problem(request)
        texts = self._samples.get(problem_id)
        if texts is None:
            near = nearest(problem_id, self._samples)
            raise self._no_sample(
                f"no sample for the problem {problem_id!r}", problem_id, f"It has {near!r}." if near else None
            )
        number = request.labels.get("sample", 0)
        if not isinstance(number, int) or not 0 <= number < len(texts):
            raise self._no_sample(f"no sample {number} for the problem {problem_id!r}, only {len(texts)}", problem_id)
        return ChatReply(texts[number], self._usage, remaining=len(texts) - number - 1)

    async def ping(self) -> None:
        return

    def _problem(self, request: ChatRequest) -> str:
        if request.role != ROLE:
            raise self._no_sample(f"samples answer for {ROLE}, not for {request.role}", request.role)
        if any(message.role == "assistant" for message in request.messages):
            raise self._no_sample("a sample cannot answer a second question", ROLE)
        problem_id = request.labels.get("problem_id")
        if problem_id is None:
            raise self._no_sample(
                "the environment does not say which problem it asks for",
                ROLE,
                "Samples work with environment_dataset_challenge.",
            )
        return str(problem_id)

    def _no_sample(self, what: str, subject: str, hint: str | None = None) -> AgentCommunicationException:
        return AgentCommunicationException(f"{self._path}: {what}", code="no_sample", subject=subject, hint=hint)


def read_samples(path: Path) -> dict[str, list[str]]:
    """Samples by problem, in the file's order. Raises ConfigurationException that names file and line."""
    samples: dict[str, list[str]] = {}
    for number, record in read_json_lines(path, _EXPECTED):
        problem_id, text = _sample(path, number, record)
        samples.setdefault(problem_id, []).append(text)
    if not samples:
        raise ConfigurationException(f"{path}: there are no samples in it; {_EXPECTED} on each line", subject=str(path))
    return samples


def _sample(path: Path, number: int, record: Mapping[str, Any]) -> tuple[str, str]:
    problem_id = record.get("task_id", record.get("id"))
    if record.get("files") is not None:
        text = _listing(path, number, record)
    else:
        text = record.get("completion", record.get("solution"))
    if isinstance(problem_id, bool) or not isinstance(problem_id, str | int) or not isinstance(text, str):
        raise bad_line(path, number, f"found the keys {', '.join(map(str, record)) or 'none'}; {_EXPECTED}, both text")
    return str(problem_id), text


def _listing(path: Path, number: int, record: Mapping[str, Any]) -> str:
    try:
        return FileSet(files=record["files"], entry=record.get("entry")).listing()
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise bad_line(path, number, f"'files': {first['msg'].removeprefix('Value error, ')}") from error


def open_samples(reference: ModelReference, context: ProviderContext) -> ChatTransport:
    """The samples of the file that the model names; relative paths are looked for in the recipe's folder."""
    path = context.folder / reference.model
    return SampleTransport(read_samples(path), path, str(reference))


ENTRY = ProviderEntry(
    name=NAME,
    summary="completions made elsewhere, from JSON lines, plain or gzipped (samples/FILE)",
    open=open_samples,
    files=True,
    fixed=True,
)
