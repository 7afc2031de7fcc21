"""Which kinds of isolation there are here: found by trying, once for each process."""

import sys
from functools import cache

from prismenv.finding.folders import builtin_workspace
from prismenv.isolation.design import KIND_OF, Form, zygote_designs
from prismenv.isolation.folder import HeldFolder
from prismenv.isolation.language import load_language
from prismenv.isolation.worker import Worker
from prismenv.words.errors import EnvironmentException
from prismenv.words.verdict import Isolation

FORMS: tuple[Form, ...] = ("full", "userns", "alone")  # the strongest first

REMEDIES: dict[Isolation, str] = {
    "full": "It takes root with the capability SYS_ADMIN and a control group for memory that may be written.",
    "unprivileged": "It takes Linux with seccomp, and user namespaces for this user or a kernel with Landlock.",
}


@cache
def problem_of(form: Form) -> str:
    """Why a form is not to be had here, in words; empty when it is. A bare zygote is started to see."""
    if sys.platform != "linux":
        return f"it needs Linux, this is {sys.platform}"
    folder = builtin_workspace().root / "sandbox"
    root = HeldFolder()
    try:
        profile = load_language("python", folder / "languages")
        design = zygote_designs(profile, folder, form, ["solution"], warm=False)["solution"]
        place = root.path / "root"
        place.mkdir()
        worker = Worker(design, place, form)
        try:
            worker.zygote()
        finally:
            worker.close()
    except (EnvironmentException, OSError) as error:
        return error.message if isinstance(error, EnvironmentException) else str(error)
    finally:
        root.remove()
    return ""


def best_form(kind: Isolation) -> Form | None:
    """The strongest form of a kind that is to be had; None for none, and for a kind without forms."""
    return next((form for form in FORMS if KIND_OF[form] == kind and not problem_of(form)), None)


def available_kinds() -> dict[Isolation, str]:
    """Every kind of isolation to `ok`, or to the reasons why it is not there."""
    kinds: dict[Isolation, str] = {"portable": "ok"}
    for kind in ("unprivileged", "full"):
        reasons = [f"{form}: {problem_of(form)}" for form in FORMS if KIND_OF[form] == kind and problem_of(form)]
        kinds[kind] = "ok" if best_form(kind) else f"{'; '.join(reasons)}. {REMEDIES[kind]}"
    return kinds
