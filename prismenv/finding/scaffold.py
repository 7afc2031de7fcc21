"""Files to start from: a new workspace, and copies of built-in files that take the place of the built-in ones."""

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from prismenv.finding.folders import BUILT_IN, Workspace
from prismenv.finding.overriding import declare_overrides, relative_imports
from prismenv.finding.workspace import WorkspaceSet
from prismenv.words.errors import ConfigurationException
from prismenv.words.nearness import did_you_mean

TEMPLATES = Path(__file__).resolve().parent / "templates"
SUFFIX = ".tmpl"  # keeps pytest and the discovery of environments away from the templates
EJECTABLE = {  # folder of a workspace to what is looked for in it
    "environments": "environment_*.py",
    "agents": "*.yaml",
    "configs": "*.yaml",
    "configs/runs": "*.yaml",
}


def init_workspace(folder: Path, *, name: str) -> list[Path]:
    """Make a workspace with one small example of each kind and a test that runs it; gives the files, sorted.

    Either all files are written or none is. Raises ConfigurationException that names what is in the way, or why the
    folder cannot be written.
    """
    if not name.strip() or name == BUILT_IN:
        raise ConfigurationException(f"{name!r} is no name for a workspace; choose one of your own", code="bad_name")
    texts = {target: text.replace("@NAME@", json.dumps(name)) for target, text in _templates()}
    write_all(folder, texts)
    return sorted(folder / target for target in texts)


def eject(name: str, workspaces: WorkspaceSet, destination: Path | None = None) -> list[Path]:
    """Copy a built-in (or a package's) environment, agent, configuration file or recipe into the user's workspace.

    `name` is its stem, or `agents/NAME` and the like where several kinds have one. `destination` is the workspace to
    copy into, None: the user's own. An environment says `overrides=True` in its copy, and brings the files that it
    imports from its folder. Gives what was written, the named file first. Raises ConfigurationException: no such
    file, several, no workspace, or something in the way.
    """
    root = destination or (workspaces.user.root if workspaces.user else None)
    if root is None:
        raise ConfigurationException(
            "there is no workspace to copy into",
            code="no_workspace",
            hint="Make one with prismenv init DIR, or name one with --workspace DIR.",
        )
    workspace, kind, path = _ejectable(name, workspaces)
    text = path.read_text(encoding="utf-8")
    texts = {f"{kind}/{path.name}": f"# Taken from {workspace.origin}; this copy takes its place.\n{text}"}
    if kind == "environments":
        texts[f"{kind}/{path.name}"] = declare_overrides(texts[f"{kind}/{path.name}"], str(path))
        for shared in relative_imports(path):
            copy, content = root / kind / shared.name, shared.read_text(encoding="utf-8")
            if not copy.exists() or copy.read_text(encoding="utf-8") != content:
                texts[f"{kind}/{shared.name}"] = content
    write_all(root, texts)
    return [root / target for target in texts]


def _templates() -> Iterator[tuple[str, str]]:
    for path in sorted(TEMPLATES.rglob(f"*{SUFFIX}")):
        yield path.relative_to(TEMPLATES).as_posix().removesuffix(SUFFIX), path.read_text(encoding="utf-8")


def _ejectable(name: str, workspaces: WorkspaceSet) -> tuple[Workspace, str, Path]:
    found: dict[str, tuple[Workspace, str, Path]] = {}
    known: set[str] = set()
    for workspace in workspaces.members:
        if workspace is workspaces.user:
            continue
        for kind, pattern in EJECTABLE.items():
            for path in workspace.files(kind, pattern):
                known |= {path.stem, f"{kind}/{path.stem}"}
                if name in (path.stem, f"{kind}/{path.stem}"):
                    found.setdefault(kind, (workspace, kind, path))
    if len(found) > 1:
        choices = ", ".join(f"{kind}/{name}" for kind in found)
        raise ConfigurationException(
            f"{name!r} is several things; say which: {choices}", code="ambiguous", subject=name
        )
    if not found:
        raise ConfigurationException(
            f"there is no built-in file {name!r}{did_you_mean(name, sorted(known))}",
            code="unknown_file",
            subject=name,
            hint=f"There are: {', '.join(sorted(item for item in known if '/' not in item))}",
        )
    return next(iter(found.values()))


def write_all(root: Path, texts: Mapping[str, str]) -> None:
    """Write every file or none, and none over another: what was made is taken back when a later one fails."""
    made: list[Path] = []
    try:
        _refuse_taken(root, texts)
        _place(root, texts, made)
    except OSError as error:
        for path in reversed(made):
            path.rmdir() if path.is_dir() else path.unlink()
        raise ConfigurationException(
            f"{root}: cannot be written: {error.strerror or error}; nothing was left behind",
            code="folder_unwritable",
            subject=str(root),
        ) from error


def _refuse_taken(root: Path, texts: Mapping[str, str]) -> None:
    taken = {target for target in texts if os.path.lexists(root / target)}
    for folder in _folders(root, texts):
        if os.path.lexists(folder) and not folder.is_dir():
            taken.add(str(folder.relative_to(root)) if root in folder.parents else str(folder))
    if taken:
        raise ConfigurationException(
            f"{root}: in the way: {', '.join(sorted(taken))}",
            code="in_the_way",
            subject=str(root),
            hint="Nothing was written. Move what is in the way, or choose another folder.",
        )


def _place(root: Path, texts: Mapping[str, str], made: list[Path]) -> None:
    """Put the files in place; `made` tells at any moment which folders and files are new."""
    for folder in _folders(root, texts):
        if not folder.is_dir():
            folder.mkdir()
            made.append(folder)
    for target, text in texts.items():
        with (root / target).open("x", encoding="utf-8", newline="\n") as file:  # never over one that came in between
            made.append(root / target)
            file.write(text)


def _folders(root: Path, texts: Mapping[str, str]) -> list[Path]:
    """The folders that are needed, outer ones first."""
    needed = {root, *root.parents}
    for target in texts:
        needed |= {folder for folder in (root / target).parents if folder == root or root in folder.parents}
    return sorted(needed, key=lambda folder: len(folder.parts))
