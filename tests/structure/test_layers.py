"""The structure that the architecture promises, read from the syntax trees."""

import ast
import statistics
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "prismenv"
# Folder to layer. Equal numbers are siblings that never import each other; `testing` may use the whole engine.
LAYERS = {
    "words": 0,
    "contracts": 1,
    "finding": 2,
    "answers": 3,
    "scoring": 3,
    "network": 3,
    "search": 3,
    "isolation": 4,
    "sessions": 4,
    "simulated": 4,
    "store": 4,
    "engine": 5,
    "testing": 6,
    "clients": 7,
    "bridges": 8,
    "conformance": 7,
    "server": 7,
    "cli": 8,
}
PURE = ("words", "answers", "scoring", "search")
# Dependencies of extras, and what few need and takes long to import: the only ones a function may import for itself.
OPTIONAL = frozenset(
    {"aiohttp", "httpx2", "jinja2", "jinja2.sandbox", "jsonschema_rs", "litellm", "openai", "opentelemetry", "re2"}
)
# All of prismenv/server needs the extra `server`: it is imported by the function that starts it, by its own modules at
# their top.
OPTIONAL |= {"prismenv.search.adaptive.policy"}  # needs NumPy, which only a run with this policy waits for
# SQLAlchemy, which only what stores something waits for
OPTIONAL |= {"prismenv.store.database", "prismenv.store.servicestore", "prismenv.store.sessionstore"}
OPTIONAL |= {"prismenv.server", "prismenv.server.hosts", "prismenv.server.limits", "prismenv.server.tokens"}
OPTIONAL |= {"prismenv.store.postgres"}  # the same of the extra `postgres`
OPTIONAL |= {"websockets.asyncio.client", "websockets.exceptions"}
OPTIONAL |= {"prismenv.server.environments", "prismenv.server.environments.limits"}
OPTIONAL |= {"prismenv.server.sandboxes", "prismenv.server.sandboxes.limits"}
FILES = sorted(
    path for path in PACKAGE.rglob("*.py") if "_workspace" not in path.parts and "templates" not in path.parts
)
EVERYTHING = [*FILES, *sorted((ROOT / "environments").glob("*.py")), *sorted((ROOT / "sandbox").rglob("*.py"))]


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def module_of(path: Path) -> str:
    parts = list(path.relative_to(ROOT).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def imports_of(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module


def layer_of(module: str) -> int | None:
    parts = module.split(".")
    if parts[0] != "prismenv" or len(parts) == 1:
        return None
    return LAYERS.get(parts[1])


@pytest.mark.parametrize("path", [path for path in FILES if path.parent != PACKAGE], ids=name_of)
def test_imports_point_down_and_siblings_do_not_know_each_other(path: Path) -> None:
    own = module_of(path)
    own_layer = layer_of(own)
    assert own_layer is not None, f"{own} stands in no layer"
    for imported in imports_of(tree_of(path)):
        layer = layer_of(imported)
        if layer is None:
            assert imported != "prismenv" or own_layer >= LAYERS["testing"], f"{own} imports the public surface"
            continue
        same_folder = imported.split(".")[1] == own.split(".")[1]
        assert same_folder or layer < own_layer, f"{own} imports {imported}, which is not below it"


def test_there_are_no_import_cycles() -> None:
    modules = {module_of(path) for path in FILES}
    graph = {
        module_of(path): {name for name in imports_of(tree_of(path)) if name in modules and name != module_of(path)}
        for path in FILES
    }
    done: set[str] = set()
    while ready := {name for name, needs in graph.items() if name not in done and needs <= done}:
        done |= ready
    assert done == modules, f"in a cycle: {sorted(modules - done)}"


@pytest.mark.parametrize("path", EVERYTHING, ids=name_of)
def test_imports_stand_at_the_top_but_for_optional_dependencies(path: Path) -> None:
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            local = set(imports_of(node)) - OPTIONAL
            guest = "guests" in path.parts  # a guest imports the suite's framework only when the suite asks for it
            assert guest or not local, f"{path.name}: {node.name} imports {sorted(local)}"


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_type_checking_hides_nothing(path: Path) -> None:
    assert "TYPE_CHECKING" not in path.read_text(encoding="utf-8")


@pytest.mark.parametrize("path", [path for path in FILES if path.parent.name in PURE], ids=name_of)
def test_pure_layers_never_wait_nor_open_files(path: Path) -> None:
    for node in ast.walk(tree_of(path)):
        assert not isinstance(node, ast.AsyncFunctionDef | ast.Await), f"{path.name} waits"
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id != "open", f"{path.name} opens a file"
    assert not {"os", "pathlib", "subprocess", "time", "socket"} & set(imports_of(tree_of(path)))


@pytest.mark.parametrize("path", [path for path in FILES if "cli" not in path.parts], ids=name_of)
def test_only_the_command_line_prints(path: Path) -> None:
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id != "print", f"{path.name}:{node.lineno} prints"


@pytest.mark.parametrize("path", EVERYTHING, ids=name_of)
def test_files_stay_under_400_lines(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) < 400


def functions() -> Iterator[tuple[str, int]]:
    for path in EVERYTHING:
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno is not None:
                yield f"{name_of(path)}:{node.name}", node.end_lineno - node.lineno + 1


def test_functions_are_small() -> None:
    lengths = dict(functions())
    assert not {name: length for name, length in lengths.items() if length > 60}
    assert statistics.median(lengths.values()) < 10
    assert statistics.quantiles(lengths.values(), n=20)[-1] <= 40


def test_no_module_is_a_drawer_for_anything() -> None:
    names = {path.stem for path in EVERYTHING}
    assert not names & {"utils", "helpers", "common", "misc", "util", "tools"}


def test_no_engine_module_repeats_a_workspace_folder() -> None:
    assert not {path.name for path in PACKAGE.iterdir()} & {"environments", "agents", "configs", "sandbox", "tests"}


def test_the_workspace_folders_are_no_packages() -> None:
    for folder in ("environments", "agents", "configs", "sandbox", "tests"):
        assert not list((ROOT / folder).rglob("__init__.py"))
