"""The dashboard: pages that show what the API says.

What belongs here: templates, style and scripts, served from this folder alone. What does not: a second way to compute
anything.
"""

from __future__ import annotations

from importlib.resources import files

BESIDE_REVIEWS = ("reviews.css", "reviews.js", "board.js", "api.js", "icon.svg")
"""What the page ``reviews.html`` is made of."""


def asset(name: str) -> bytes:
    """The bytes of one file of this folder."""
    return files(__name__).joinpath(name).read_bytes()
