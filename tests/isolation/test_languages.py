"""Languages by their files: what each judges, what is kept, and what is said where something is wrong or missing."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from prismenv import FileSet, Sandbox
from prismenv.contracts.jail import Sandbox as SandboxContract
from prismenv.isolation.blocking import BlockingSandbox
from prismenv.isolation.kit import language_of, language_shelf
from prismenv.isolation.portable import PortableSandbox
from prismenv.isolation.toolchain import find_toolchain
from prismenv.words.errors import ConfigurationException
from prismenv.words.limits import Limits

PROGRAMS: dict[str, dict[str, str]] = yaml.safe_load(
    (Path(__file__).parent / "languages" / "cases.yaml").read_text(encoding="utf-8")
)
CASES = "cases:\n- {stdin: '1 2 3', stdout: '6'}\n- {stdin: '3 4', stdout: '7'}\n"
COMPILED = [name for name in PROGRAMS if language_shelf().profile(name).compile is not None]
FORMS = ("full", "portable", "userns", "alone")


def usable(language: str, form: str = "portable") -> None:
    """Skip where the language's tools are missing, with the reason."""
    profile = language_shelf().profile(language)
    try:
        find_toolchain(profile)
    except ConfigurationException as error:
        pytest.skip(str(error))
    if form == "alone" and profile.compile is not None:
        pytest.skip("without namespaces a run has one process, and a compiler is several")


def test_every_language_that_comes_with_prismenv_is_tried_here() -> None:
    assert sorted(PROGRAMS) == language_shelf().names()


@pytest.mark.parametrize("form", ["full", "portable"])
@pytest.mark.parametrize("language", sorted(PROGRAMS))
def test_right_programs_pass_and_wrong_ones_fail(
    language: str, form: str, warm_sandbox: Callable[[str], BlockingSandbox]
) -> None:
    usable(language, form)
    sandbox, programs = warm_sandbox(form), PROGRAMS[language]
    right = sandbox.judge(programs["right"], CASES, language=language)
    assert (right.outcome, right.verdict_mode, right.tests_passed_num) == ("passed", "split", 2), right.output
    wrong = sandbox.judge(programs["wrong"], CASES, language=language)
    assert (wrong.outcome, wrong.fault) == ("failed", "candidate"), wrong.output
    broken = sandbox.judge(programs["broken"], CASES, language=language)
    assert (broken.outcome, broken.fault, broken.tests_errored_num) == ("errored", "candidate", 2), broken.output
    assert broken.output.strip() != ""


@pytest.mark.parametrize("form", ["userns", "alone"])
@pytest.mark.parametrize("language", ["javascript", "cpp", "bash"])
def test_they_are_judged_without_root_too(
    language: str, form: str, warm_sandbox: Callable[[str], BlockingSandbox]
) -> None:
    usable(language, form)
    if (language, form) == ("bash", "alone"):
        source = "read a b c; echo $((a + b + ${c:-0}))"  # no process but its own: no cat
    else:
        source = PROGRAMS[language]["right"]
    verdict = warm_sandbox(form).judge(source, CASES, language=language)
    assert verdict.outcome == "passed", verdict.output


def test_a_compiled_language_without_namespaces_is_refused_with_the_reason(
    warm_sandbox: Callable[[str], BlockingSandbox],
) -> None:
    usable("cpp")
    with pytest.raises(ConfigurationException, match="its compiler is several processes") as caught:
        warm_sandbox("alone").judge("int main() {}", CASES, language="cpp")
    assert caught.value.code == "isolation_unavailable"


def test_what_was_compiled_is_kept_as_long_as_the_sandbox_is_open() -> None:
    usable("c")
    with BlockingSandbox(PortableSandbox(1)) as sandbox:
        first, again = (sandbox.judge(PROGRAMS["c"]["broken"], CASES, language="c") for _ in range(2))
        other = sandbox.judge(PROGRAMS["c"]["broken"] + "\n", CASES, language="c")
    assert (first.outcome, first.output) == (again.outcome, again.output)
    assert first.cpu_seconds > 0 == again.cpu_seconds
    assert other.cpu_seconds > 0


def test_a_compilers_message_is_capped() -> None:
    usable("c")
    source = "".join(f"int a{number} = b{number};\n" for number in range(200))
    with BlockingSandbox(PortableSandbox(1)) as sandbox:
        verdict = sandbox.judge(source, CASES, language="c")
    assert verdict.outcome == "errored"
    assert "characters left out" in verdict.output
    assert len(verdict.output) < 6000


BOMBS = {
    "time": ("constexpr long f(long n) { long s = 0; for (long i = 0; i < 1000; ++i) for (long j = 0; j < 2000; ++j) "
             "s += (i * j) ^ n; return s; }\n"
             + "".join(f'static_assert(f({n}) != {n}, "");\n' for n in range(200)) + "int main() {}"),
    "memory": "template<int N, int M> struct B { B<N-1, M> a; B<N-1, M+N*7919> b; };\n"
              "template<int M> struct B<0, M> { char c[M % 7 + 1]; };\nint main() { B<60, 1> b; return sizeof b; }",
    "file": "char filled[1 << 28] = {1};\nint main() { return filled[5]; }",
    "output": "#define A(x) x x x x x x x x\n#define B(x) A(x) A(x) A(x) A(x) A(x) A(x) A(x) A(x)\n"
              + "".join(f"int f{n}() {{ B(undeclared{n}();) }}\n" for n in range(400)),
    "include": '#include "/dev/zero"\nint main() {}',
    "itself": "#include __FILE__\nint main() {}",
}  # fmt: skip


@pytest.fixture(scope="module")
def strict(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of languages in which C++ has little to compile with."""
    folder = tmp_path_factory.mktemp("strict") / "sandbox"
    (folder / "languages").mkdir(parents=True)
    profile = yaml.safe_load((root / "sandbox" / "languages" / "cpp.yaml").read_text(encoding="utf-8"))
    profile["compile"]["command"].append("-fmax-errors=0")
    profile["compile"]["limits"] = {
        "wall_seconds": 15, "cpu_seconds": 2, "memory_bytes": 200 * 2**20, "output_bytes": 2**16,
        "file_bytes": 2**24, "processes": 16,
    }  # fmt: skip
    (folder / "languages" / "cpp.yaml").write_text(yaml.safe_dump(profile), encoding="utf-8")
    return folder


@pytest.mark.parametrize("form", ["full", "portable"])
def test_a_bomb_for_the_compiler_is_held_and_is_the_candidates_fault(
    form: str,
    new_sandbox: Callable[..., SandboxContract],
    strict: Path,
    hold_bombs: Callable[..., None],
) -> None:
    usable("cpp")
    with BlockingSandbox(new_sandbox(form, languages=[strict])) as sandbox:
        hold_bombs(sandbox, BOMBS, CASES)
        assert sandbox.judge(PROGRAMS["cpp"]["right"], CASES, language="cpp").success


def test_the_limits_of_the_compiler_are_those_that_end_it(
    new_sandbox: Callable[..., SandboxContract], strict: Path
) -> None:
    usable("cpp")
    with BlockingSandbox(new_sandbox("full", languages=[strict])) as sandbox:
        slow = sandbox.judge(BOMBS["time"], CASES, language="cpp")
        assert (slow.outcome, slow.limits_hit) == ("timed_out", ("cpu_seconds",)), slow.output
        assert slow.message == "it could not be compiled: it used more than 2 s of CPU time"
        assert sandbox.judge(BOMBS["output"], CASES, language="cpp").outcome == "output_limit"


def test_a_language_whose_tools_are_missing_names_them_and_the_package(tmp_path: Path) -> None:
    folder = language_folder(
        tmp_path, "cobol", tools={"cobc": {"find": ["cobc-that-is-nowhere"], "package": "gnucobol"}}
    )
    with BlockingSandbox(PortableSandbox(1, languages=[folder])) as sandbox:
        with pytest.raises(ConfigurationException, match="cobc-that-is-nowhere is not on the PATH") as caught:
            sandbox.judge("x", CASES, language="cobol")
        assert "apt-get install gnucobol" in str(caught.value)
        assert caught.value.code == "tool_missing"


def test_a_wrong_file_of_cases_is_the_tests_fault_with_the_line(warm_sandbox: Callable[[str], BlockingSandbox]) -> None:
    usable("javascript")
    sandbox = warm_sandbox("portable")
    for tests, message in [
        ("cases:\n- stdin: '1'\n  stdou: '2'\n", "tests:2"),
        ("cases:\n- stdout: '1'\n- 7\n", "tests:3"),
        ("cases: []\n", "tests:1"),
        ("cases:\n- stdout: '1'\ncompare: roughly\n", "tests:3"),
        ("cases:\n- stdout: '1'\n  args: ['a\n", "tests:"),
        (f"cases:\n- stdout: '1'\n  args: [{'a' * 200_000}]\n", "at most 100,000 bytes"),
    ]:
        verdict = sandbox.judge("1", tests, language="javascript")
        assert (verdict.outcome, verdict.fault) == ("invalid_tests", "tests")
        assert message in verdict.message, verdict.message


def test_output_is_compared_as_the_cases_say(warm_sandbox: Callable[[str], BlockingSandbox]) -> None:
    usable("bash")
    sandbox = warm_sandbox("portable")
    for source, compare, outcome in [
        ("echo '1  '", "exact", "failed"),
        ("echo 1", "exact", "passed"),
        ("printf '1  \\n\\n'", "whitespace", "passed"),
        ("echo 1.0000001", "float", "passed"),
        ("echo 1.1", "float", "failed"),
        ("echo 1.0000001", "whitespace", "failed"),
    ]:
        tests = f'cases:\n- stdout: "1\\n"\ncompare: {compare}\n'
        assert sandbox.judge(source, tests, language="bash").outcome == outcome, (source, compare)


def test_a_language_may_not_have_more_than_the_host_allows(tmp_path: Path) -> None:
    ceiling = Limits(wall_seconds=1, cpu_seconds=1, memory_bytes=2**28, file_bytes=2**20, processes=8)
    folder = language_folder(tmp_path, "greedy", limits={"wall_seconds": 3000, "memory_bytes": 2**40})
    with BlockingSandbox(PortableSandbox(1, ceiling, languages=[folder])) as sandbox:
        verdict = sandbox.judge("while :; do :; done", CASES, language="greedy")
    assert verdict.outcome == "timed_out"
    assert "longer than 1 s" in verdict.output or "more than 1 s" in verdict.output


def test_a_language_is_added_by_one_file_and_stands_before_the_built_in_one(tmp_path: Path) -> None:
    folder = language_folder(tmp_path, "shell")
    language_folder(tmp_path, "bash", environment={"PATH": "/usr/bin", "WHOSE": "mine"})
    with BlockingSandbox(PortableSandbox(1, languages=[folder])) as sandbox:
        assert sandbox.run("echo $((1 + 1))", language="shell").stdout == "2\n"
        assert sandbox.run("echo $WHOSE", language="bash").stdout == "mine\n"
    assert "shell" in language_shelf([folder]).names()
    with BlockingSandbox(Sandbox(isolation="portable", workers=1, languages=[folder])) as sandbox:
        assert sandbox.run("echo $((2 + 2))", language="shell").stdout == "4\n"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"run": ["{bsh}", "{source}"]}, r"\{bsh\} stands for nothing"),
        ({"results": "frames"}, "frames belongs to"),
        ({"tools": {"bash": {"find": [], "package": "bash"}}}, "find"),
        ({"compiler": {}}, "compiler"),
        ({"compile": {"command": [], "output": ["x"]}}, r"compile\.command"),
        ({"limits": {"wall_seconds": 0}}, r"limits\.wall_seconds"),
        ({"language": "fish"}, "found 'fish'"),
    ],
)
def test_a_wrong_file_of_a_language_is_an_error_with_its_place(
    change: dict[str, Any], message: str, tmp_path: Path
) -> None:
    folder = language_folder(tmp_path, "shell", **change)
    with pytest.raises(ConfigurationException, match=message) as caught:
        language_shelf([folder]).profile("shell")
    assert "shell.yaml" in str(caught.value)


def test_the_language_is_found_by_the_extension(tmp_path: Path) -> None:
    shelf = language_shelf()
    found = {name: language_of(Path(f"a/solution{name}"), shelf) for name in (".py", ".cc", ".mjs", ".rs", ".txt", "")}
    assert found == {".py": "python", ".cc": "cpp", ".mjs": "javascript", ".rs": "rust", ".txt": None, "": None}
    both = language_shelf([language_folder(tmp_path, "shell", extensions=[".sh"])])
    with pytest.raises(ConfigurationException, match="bash or shell"):
        language_of(Path("a.sh"), both)


def test_an_unknown_language_is_an_error_with_the_nearest(warm_sandbox: Callable[[str], BlockingSandbox]) -> None:
    with pytest.raises(ConfigurationException, match="unknown language 'javscript'") as caught:
        warm_sandbox("portable").run("1", language="javscript")
    assert caught.value.hint == "Did you mean javascript?"


def language_folder(where: Path, name: str, **change: Any) -> Path:
    """A workspace's folder `sandbox` with one language that is bash, but for what is changed."""
    folder = where / "sandbox"
    (folder / "languages").mkdir(parents=True, exist_ok=True)
    profile = {
        "language": name,
        "files": {"solution": "solution.sh", "program": "solution.sh"},
        "tools": {"bash": {"find": ["bash"], "package": "bash"}},
        "run": ["{bash}", "{source}"] if "tools" not in change else ["true"],
        "probe": {"program": "echo 1", "output": "1\n"},
        **change,
    }
    (folder / "languages" / f"{name}.yaml").write_text(yaml.safe_dump(profile, sort_keys=False), encoding="utf-8")
    return folder


def test_a_program_in_a_jail_sees_its_tools_and_nothing_else_of_the_host(
    warm_sandbox: Callable[[str], BlockingSandbox], tmp_path: Path
) -> None:
    usable("javascript")
    secret = tmp_path / "secret"
    secret.write_text("secret", encoding="utf-8")
    program = f"""
const fs = require('fs');
for (const path of [{str(secret)!r}, '/etc/passwd', '/proc/self/status', '/usr/bin/g++']) {{
  try {{ console.log('read', path, fs.readFileSync(path).length); }} catch (error) {{ console.log(error.code); }}
}}
"""
    done = warm_sandbox("full").run(program, language="javascript")
    assert done.stdout.split() == ["ENOENT"] * 4, done


SEVERAL: dict[str, dict[str, str]] = {
    "cpp": {
        "main.cpp": '#include "sum.h"\n#include <fstream>\n#include <iostream>\nint main() {\n'
        '    int start = 0, next, total; std::ifstream("data/start.txt") >> start; total = start;\n'
        '    while (std::cin >> next) total = sum(total, next);\n    std::cout << total << "\\n";\n}\n',
        "sum.h": "int sum(int a, int b) { return a + b; }\n",
        "data/start.txt": "0\n",
        "program": "a file with the name of what is compiled\n",
    },
    "c": {
        "solution.c": '#include "parts/sum.c"\n#include <stdio.h>\nint main(void) {\n    int total = 0, next;\n'
        '    while (scanf("%d", &next) == 1) total = sum(total, next);\n    printf("%d\\n", total);\n}\n',
        "parts/sum.c": "static int sum(int a, int b) { return a + b; }\n",
    },
    "javascript": {
        "main.js": "const { sum } = require('./lib/sum.js');\nconst text = require('fs').readFileSync(0, 'utf8');\n"
        "console.log(text.split(' ').map(Number).reduce(sum, require('./start.json')));\n",
        "lib/sum.js": "exports.sum = (a, b) => a + b;\n",
        "start.json": "0",
    },
    "bash": {
        "solution.sh": ". ./lib/sum.sh\nread -ra given\nsum ${given[@]}\n",
        "lib/sum.sh": "sum() { local total=0; for each; do total=$((total + each)); done; echo $total; }\n",
    },
    "java": {
        "Main.java": "import java.util.Scanner;\npublic class Main {\n    public static void main(String[] a) {\n"
        "        Scanner in = new Scanner(System.in);\n        int total = 0;\n"
        "        while (in.hasNextInt()) total = Sum.of(total, in.nextInt());\n"
        "        System.out.println(total);\n    }\n}\n",
        "Sum.java": "class Sum { static int of(int a, int b) { return a + b; } }\n",
    },
    "rust": {
        "main.rs": "mod sum;\nuse std::io::Read;\nfn main() {\n    let mut text = String::new();\n"
        "    std::io::stdin().read_to_string(&mut text).unwrap();\n"
        '    println!("{}", text.split_whitespace().map(|each| each.parse().unwrap()).fold(0, sum::of));\n}\n',
        "sum.rs": "pub fn of(a: i32, b: i32) -> i32 { a + b }\n",
    },
}


@pytest.mark.parametrize("language", sorted(SEVERAL))
def test_a_program_may_be_several_files(language: str, warm_sandbox: Callable[[str], BlockingSandbox]) -> None:
    usable(language, "full")
    right = FileSet(files=SEVERAL[language])
    verdict = warm_sandbox("full").judge(right, CASES, language=language)
    assert (verdict.outcome, verdict.tests_passed_num) == ("passed", 2), verdict.output
    main = {**SEVERAL[language], right.main: "this is no program"}
    wrong = warm_sandbox("full").judge(FileSet(files=main), CASES, language=language)
    assert (wrong.success, wrong.fault) == (False, "candidate"), wrong.output


def test_tests_that_are_a_program_may_load_several_files(warm_sandbox: Callable[[str], BlockingSandbox]) -> None:
    usable("bash")
    tests = '. ./solution.sh\necho 1..1\n[ "$(double 2)" = 4 ] && echo "ok 1" || echo "not ok 1"\n'
    files = {"solution.sh": ". ./lib/two.sh\ndouble() { echo $(($1 * TWO)); }\n", "lib/two.sh": "TWO=2\n"}
    verdict = warm_sandbox("full").judge(FileSet(files=files), tests, language="bash", verdict="shared")
    assert verdict.outcome == "passed", verdict.output
    with pytest.raises(ConfigurationException, match="is the tests' own name"):
        warm_sandbox("full").judge(FileSet(files={**files, "tests.sh": ""}), tests, language="bash", verdict="shared")


def test_an_entry_of_another_language_is_refused(warm_sandbox: Callable[[str], BlockingSandbox]) -> None:
    files = FileSet(files={"main.cpp": "int main() {}", "helper.py": ""}, entry="main.cpp")
    with pytest.raises(ConfigurationException, match=r"'main\.cpp' is no file of the language python"):
        warm_sandbox("portable").judge(files, "def test_a(): pass")
    with pytest.raises(ConfigurationException, match=r"'main\.cpp' is no file of the language bash"):
        warm_sandbox("portable").judge(files, CASES, language="bash")


HUNGRY = {
    "cpp": "#include <vector>\nint main() {\n    std::vector<std::vector<char>> all;\n"
    "    for (;;) all.emplace_back(1 << 24, 'x');\n}\n",
    "java": "import java.util.*;\npublic class Main {\n    public static void main(String[] a) {\n"
    "        List<byte[]> all = new ArrayList<>();\n        for (;;) all.add(new byte[1 << 20]);\n    }\n}\n",
    "javascript": "const all = []; for (;;) all.push(new Array(1000).fill(Math.random()));",
    "rust": "fn main() { let mut all = Vec::new(); loop { all.push(vec![1u8; 1 << 24]); } }",
}


@pytest.mark.parametrize("form", ["full", "portable"])
@pytest.mark.parametrize("language", sorted(HUNGRY))
def test_a_program_that_has_no_memory_left_is_called_that(
    language: str, form: str, warm_sandbox: Callable[[str], BlockingSandbox]
) -> None:
    usable(language, form)
    verdict = warm_sandbox(form).judge(HUNGRY[language], CASES, language=language)
    assert (verdict.outcome, verdict.fault) == ("out_of_memory", "candidate"), verdict.output
