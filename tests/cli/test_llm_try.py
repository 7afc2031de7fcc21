"""`prismenv llm try`: one interaction, shown whole, offline."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from prismenv.cli.main import build_app
from prismenv.testing.openai_server import OpenAIServer

AGENT = """\
role: scorer
system_prompt: You score answers.
interaction_templates:
  default:
    template: "Score {answer}"
    inputs: [{name: answer}]
    outputs:
      - name: response
        schema: {type: object, properties: {score: {type: integer}}, required: [score]}
  several:
    inputs: [{name: answers, type: "list[str]"}]
"""
Try = Callable[..., tuple[int, str, str]]


@pytest.fixture
def try_role(tmp_path: Path, capsys: Any, monkeypatch: Any) -> Try:
    """Runs the command in this process, in a workspace with one agent; gives exit code, output and errors."""
    (tmp_path / "agents").mkdir()
    (tmp_path / "agents" / "scorer.yaml").write_text(AGENT, encoding="utf-8")
    (tmp_path / "prismenv.yaml").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")

    def run(*words: str) -> tuple[int, str, str]:
        whole = ["llm", "try", *words]
        with pytest.raises(SystemExit) as end:
            build_app(whole)(whole, prog_name="prismenv")
        captured = capsys.readouterr()
        return int(end.value.code or 0), captured.out, captured.err

    return run


def script(folder: Path, *answers: str) -> str:
    (folder / "script.json").write_text(json.dumps({"scorer": answers}), encoding="utf-8")
    return "scripted/script.json"


def test_a_role_is_tried_offline_by_the_simulated_model(try_role: Try) -> None:
    code, out, err = try_role("challenge_designer", "--input", "concepts=loops", "--input", "difficulty_level=easy")
    assert code == 0
    assert "simulated/perfect answers" in err
    for part in ("── system prompt ──", "Concepts that it must need: loops", "── answer ──", "tokens: ", "time: "):
        assert part in out


def test_what_is_taken_from_the_answer_is_shown_beside_it(try_role: Try, tmp_path: Path) -> None:
    model = script(tmp_path, 'Here: {"score": 4} as asked.')
    code, out, _ = try_role("scorer", "--input", "answer=42", "--model", model)
    assert code == 0
    assert "Score 42" in out
    assert '── answer ──\nHere: {"score": 4} as asked.' in out
    assert '── extraction ──\n{"score": 4}' in out


def test_an_answer_that_never_parses_is_shown_with_its_repair_turn_and_is_no_success(
    try_role: Try, tmp_path: Path
) -> None:
    model = script(tmp_path, "four", "still four")
    code, out, _ = try_role("scorer", "--input", "answer=42", "--model", model)
    assert code == 1
    assert "── answer that was not taken ──\nfour" in out
    assert "could not be used" in out
    assert "── answer ──\nstill four" in out
    assert "── extraction failed ──" in out


def test_json_holds_all_of_it(try_role: Try, tmp_path: Path) -> None:
    model = script(tmp_path, '{"score": 4}')
    code, out, _ = try_role("scorer", "--input", "answer=42", "--model", model, "--json")
    assert code == 0
    document = json.loads(out)
    assert [message["role"] for message in document["messages"]] == ["system", "user", "assistant"]
    assert (document["text"], document["raw"], document["error"]) == ('{"score": 4}', '{"score": 4}', None)
    assert document["usage"]["calls"] == 1
    assert document["model"].startswith("scripted/")


def test_inputs_that_match_no_template_show_the_nearest(try_role: Try) -> None:
    code, _, err = try_role("scorer", "--input", "anser=42")
    assert code == 2
    assert "nearest: default(answer)" in err
    assert "Did you mean answer for anser?" in err


def test_a_role_that_is_tried_without_inputs_says_how_they_are_given(try_role: Try) -> None:
    code, _, err = try_role("scorer")
    assert code == 2
    assert "--input" in err
    assert "answer" in err


def test_values_are_read_as_the_template_declares_them(try_role: Try, tmp_path: Path) -> None:
    (tmp_path / "answer.txt").write_text("from {{ a }} file", encoding="utf-8")
    model = script(tmp_path, '{"score": 1}')
    _, out, _ = try_role("scorer", "--input", "answers=[one, two]", "--model", model, "--json")
    assert "one, two" in json.loads(out)["messages"][1]["content"]
    _, out, _ = try_role("scorer", "--input", "answer=@answer.txt", "--model", model, "--json")
    assert json.loads(out)["messages"][1]["content"] == "Score from {{ a }} file"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("scorr",), "Did you mean scorer?"),
        (("scorer", "--input", "answer"), "expected key=value"),
        (("scorer", "--input", "answer=1", "--input", "answer=2"), "given twice"),
        (("scorer", "--input", "answer=@nowhere.txt"), "cannot be read"),
        (("scorer", "--input", "answer=1", "--model", "simulatd/perfect"), "Did you mean simulated/perfect?"),
        (("scorer", "--input", "answer=1", "--set", "models.scorr=simulated/perfect"), "models.scor"),
    ],
)
def test_what_cannot_be_tried_is_told(try_role: Try, words: tuple[str, ...], says: str) -> None:
    code, out, err = try_role(*words)
    assert (code, out) == (2, "")
    assert says in err


def test_a_real_models_unknown_price_is_unknown_and_not_zero(try_role: Try) -> None:
    with OpenAIServer(lambda _: '{"score": 2}') as server:
        code, out, _ = try_role("scorer", "--input", "answer=1", "--model", f"openai@{server.url}/test-model")
    assert code == 0
    assert "cost: unknown" in out


def test_the_recipes_cache_is_used(try_role: Try) -> None:
    with OpenAIServer(lambda _: '{"score": 3}') as server:
        words = ("scorer", "--input", "answer=4", "--model", f"openai@{server.url}/test-model", "--json")
        for cached in (0, 1):
            code, out, _ = try_role(*words, "--set", "cache=true")
            assert (code, json.loads(out)["usage"]["cached"]) == (0, cached)
        assert len(server.calls) == 1


def test_what_the_recipes_budget_has_no_room_for_is_not_asked(try_role: Try) -> None:
    with OpenAIServer(lambda _: '{"score": 3}') as server:
        model = f"openai@{server.url}/test-model"
        code, _, err = try_role("scorer", "-i", "answer=4", "--model", model, "--set", "budget.tokens=1")
        assert (code, len(server.calls)) == (2, 0)
        assert "budget.tokens: 0 of 1" in err


def test_money_is_not_spent_on_where_nobody_knows_the_price(try_role: Try) -> None:
    with OpenAIServer(lambda _: "no JSON") as server:  # so that it would be asked again
        model = f"openai@{server.url}/test-model"
        code, _, err = try_role("scorer", "-i", "answer=4", "--model", model, "--set", "budget.cost_usd=1")
        assert (code, len(server.calls)) == (2, 1)
        assert "is unknown, so it cannot be held" in err


def test_an_input_that_is_no_text_is_the_users_slip(try_role: Try, tmp_path: Path) -> None:
    (tmp_path / "latin.txt").write_bytes(b"caf\xe9")
    for value in ("caf\udce9", "@latin.txt"):  # the first is how the system hands over what is not UTF-8
        code, _, err = try_role("scorer", "--input", f"answer={value}", "--model", "simulated/weak")
        assert (code, "no UTF-8 text" in err) == (2, True)


def test_a_service_that_is_not_there_is_exit_code_3(try_role: Try) -> None:
    code, _, err = try_role("scorer", "--input", "answer=1", "--model", "openai@http://127.0.0.1:9/v1/m")
    assert code == 3
    assert "no connection" in err
