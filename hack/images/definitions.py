"""Which images there are, how they are called, and how large they may become."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
BASE = "orbitloop-base:bookworm"
"""What images stand on where no registry is reached."""

_REGISTRY = "ghcr.io/orbitloop"  # the chart's default


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """One image.

    Args:
        target: what it is called on the command line, and its stage in the Containerfile.
        name: repository and tag.
        file: the Containerfile, from the checkout's root.
        limit: what it may take unpacked, its base included, in MB (10⁶ bytes).
        debian: made of Debian's packages on Debian's base, which the builder fetches.
    """

    target: str
    name: str
    file: Path
    limit: int
    debian: bool = False


def images() -> dict[str, Image]:
    """All, by their targets."""
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    ours = {"edge": 250, "operators": 300, "ground": 1100, "trainer": 1100, "transformer": 1250}
    found = [
        Image(
            target=target,
            name=f"{_REGISTRY}/orbitloop-{target}:{version}",
            file=Path("images/Containerfile"),
            limit=limit,
        )
        for target, limit in ours.items()
    ]
    for target, tag, limit in (("postgresql", "15", 200), ("mosquitto", "2", 120)):
        file = Path("images") / target / "Containerfile"
        found.append(Image(target=target, name=f"orbitloop-{target}:{tag}", file=file, limit=limit, debian=True))
    return {image.target: image for image in found}
