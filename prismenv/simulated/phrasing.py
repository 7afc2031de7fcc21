"""How the simulated model writes: the fences, headings and sentences that real models put around an answer."""

from random import Random

_FENCES = (
    "```python\n{code}\n```",
    "```python\n{code}\n```",
    "```py\n{code}\n```",
    "```\n{code}\n```",
    "~~~python\n{code}\n~~~",
    "````python\n{code}\n````",
)
_OPENINGS = (
    "",
    "",
    "Here is the program:\n\n",
    "This should do it.\n\n",
    "Let me go through the requirements first.\n\n",
)
_CLOSINGS = (
    "",
    "",
    "\n\nIt handles the edge cases that the statement names.",
    "\n\nEach input is looked at only once.",
)
_STATEMENTS = (
    "{statement}",
    "{statement}",
    "# Challenge\n\n{statement}",
    "Here is a challenge for you.\n\n{statement}",
    "{statement}\n\nGood luck!",
)
_PROSE = (
    "The input has to be looked at once from the front, and the result follows from what was seen. Mind empty input.",
    "I would need to know more about the expected sizes before I write this down. In general a single pass will do.",
    "First sort out the special cases, then treat the general one. I leave the details to you.",
)


_SHORT = {"python": "py", "javascript": "js", "cpp": "c++", "yaml": "yml"}


def write_code(code: str, random: Random, language: str = "python") -> str:
    """`code` as a model would hand it over: mostly in a fence of some kind, sometimes bare."""
    style = random.randrange(len(_FENCES) + 1)
    code = code.strip("\n")
    if style == len(_FENCES):
        return code
    fence = _FENCES[style]
    if language != "python":
        fence = fence.replace("python", language).replace("```py\n", f"```{_SHORT.get(language, language)}\n")
    return f"{random.choice(_OPENINGS)}{fence.format(code=code)}{random.choice(_CLOSINGS)}"


def write_statement(statement: str, random: Random) -> str:
    """A statement as a model would hand it over."""
    return random.choice(_STATEMENTS).format(statement=statement.strip())


def write_prose(random: Random) -> str:
    """An answer that talks about a program and contains none."""
    return random.choice(_PROSE)
