"""Every setting stands in the page that people read."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import pytest
from pydantic import BaseModel

from orbitloop_edge.satellite_file import SatelliteFile
from orbitloop_ground.settings import GroundSettings
from orbitloop_operators.settings import OperatorSettings

REFERENCE = Path(__file__).parents[2] / "docs" / "reference"


def words(page: str) -> set[str]:
    return set(re.findall(r"[a-z_]+", (REFERENCE / page).read_text()))


def fields(model: type[BaseModel]) -> set[str]:
    """Names of all fields, those of tables within included."""
    names = set(model.model_fields)
    for field in model.model_fields.values():
        for table in (field.annotation, *get_args(field.annotation)):
            if isinstance(table, type) and issubclass(table, BaseModel):
                names |= fields(table)
    return names


@pytest.mark.parametrize(
    ("model", "page"),
    [
        (GroundSettings, "gateway.md"),
        (SatelliteFile, "local-controller.md"),
        (OperatorSettings, "operators.md"),
    ],
    ids=["the gateway's", "the satellite's", "the operators'"],
)
def test_every_setting_is_documented(model: type[BaseModel], page: str) -> None:
    assert fields(model) - words(page) == set()
