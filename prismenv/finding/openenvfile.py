"""`openenv.yaml`: how OpenEnv says what an environment's folder serves."""

from pathlib import Path

import yaml
from pydantic import ConfigDict, Field

from prismenv.finding.yamlfile import load_yaml, validate
from prismenv.words.errors import ConfigurationException
from prismenv.words.mapping import FrozenModel

MANIFEST = "openenv.yaml"


class OpenEnvManifest(FrozenModel):
    """What the file says. Keys beside these are kept: OpenEnv's tools have some of their own."""

    model_config = ConfigDict(frozen=True, extra="allow")

    spec_version: int = Field(ge=1, le=1)
    name: str = Field(min_length=1, max_length=200)
    type: str = "space"
    runtime: str = "fastapi"
    app: str = Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*:[A-Za-z_][A-Za-z0-9_]*$")
    port: int = Field(default=8000, ge=1, le=65535)


def find_manifest(place: Path) -> Path:
    """The file itself, or the one in a folder."""
    return place / MANIFEST if place.is_dir() else place


def load_manifest(place: Path) -> OpenEnvManifest:
    """What the manifest at `place`, a file or its folder, says.

    Raises ConfigurationException with file and line: there is none, it is no YAML, or has not the right form; or its
    server is none that ASGI's servers can run.
    """
    path = find_manifest(place)
    document = load_yaml(path)
    manifest = validate(OpenEnvManifest, document)
    if manifest.runtime != "fastapi":
        raise ConfigurationException(
            f"{document.where(('runtime',))}: the runtime {manifest.runtime!r:.40} is not known; fastapi is",
            code="unknown_runtime",
            subject="runtime",
        )
    return manifest


def manifest_text(manifest: OpenEnvManifest) -> str:
    """The file that says this."""
    return yaml.safe_dump(manifest.model_dump(), sort_keys=False, allow_unicode=True)
