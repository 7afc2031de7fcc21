"""Going on with a run: what was stored of it, and whether the recipe still is the one."""

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import ValidationError

from prismenv.contracts.archive import RunRecord
from prismenv.contracts.recipe import Recipe
from prismenv.words.errors import ConfigurationException, StorageException
from prismenv.words.masking import mask_secrets

# What may change between sittings without changing what is measured.
FREE = ("description", "limits", "cache", "record", "budget", "concurrency", "output")


def stored_recipe(run: RunRecord) -> Recipe:
    """The recipe of a stored run; StorageException when this version cannot read it."""
    if run.status == "damaged":
        raise StorageException(
            run.note,
            code="store_corrupt",
            subject=run.run_id,
            hint="What is left of it can be shown and exported; `prismenv runs prune` removes it.",
        )
    try:
        return Recipe.model_validate(run.recipe)
    except ValidationError as error:
        raise StorageException(
            f"The recipe of run {run.run_id} cannot be read by this version: {error}", subject=run.run_id
        ) from error


def kept_at(recipe: Recipe, location: str) -> Recipe:
    """A stored recipe whose store is the one where it was found, if it named a database: passwords are not stored."""
    store = recipe.output.store
    if store is None or "://" not in store:
        return recipe
    return recipe.model_copy(update={"output": recipe.output.model_copy(update={"store": location})})


def recipe_to_resume(given: Recipe | None, run: RunRecord) -> Recipe:
    """The recipe that a run goes on with: the given one, which must measure the same as the stored one does.

    `given` None takes the stored one. What does not change what is measured (FREE) may differ; any other difference is
    a ConfigurationException (`recipe_differs`) that names the keys.
    """
    stored = stored_recipe(run)
    if given is None:
        return stored
    before = dict(_leaves(mask_secrets(stored.model_dump(mode="json", exclude=set(FREE)))))
    now = dict(_leaves(mask_secrets(given.model_dump(mode="json", exclude=set(FREE)))))
    changed = sorted(key for key in before.keys() | now.keys() if before.get(key) != now.get(key))
    if not changed:
        return given
    shown = "; ".join(f"{key} was {before.get(key)!r}, is {now.get(key)!r}" for key in changed[:5])
    raise ConfigurationException(
        f"run {run.run_id} cannot go on with another recipe: {shown}. "
        f"Only {', '.join(FREE)} may change between sittings",
        code="recipe_differs",
        subject=run.run_id,
        hint="Give the recipe and the --set values that the run was started with, or start a new run.",
    )


def _leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Key paths and values; an empty mapping is a leaf."""
    if isinstance(value, Mapping) and value:
        for key, item in value.items():
            yield from _leaves(item, f"{path}.{key}" if path else str(key))
    else:
        yield path, value
