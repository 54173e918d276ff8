"""What the ground's gateway is told from outside; read once, from ``ORBITLOOP_GROUND_*``."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from orbitloop.domain.units import Bytes
from orbitloop.wire.messages import Name


class GroundSettings(BaseSettings):
    """Settings of the gateway.

    Attributes:
        folder: where the gateway keeps uploads, blobs and, unless ``database`` says otherwise, its ledger.
        database: the ledger, as SQLAlchemy reads it; by default SQLite in ``folder``.
        host: address to listen on.
        port: TCP port to listen on; 0 takes a free one.
        tokens: bearer token of each satellite that may speak; in the environment as JSON.
        max_bundle_bytes: largest bundle that is taken.
        max_unpacked_bytes: most that a bundle may hold once it is decompressed.
        max_open_uploads: unfinished bundles that one satellite may have here at a time.
        upload_expiry: how long after its last byte an unfinished bundle gives way to others.
        silence: how long a connection may say nothing in the middle of a bundle before it is dropped.
        access_log: whether every request is logged.
    """

    model_config = SettingsConfigDict(env_prefix="ORBITLOOP_GROUND_", frozen=True, extra="forbid")

    folder: Path
    database: str | None = None
    host: str = "127.0.0.1"
    port: int = Field(default=8400, ge=0, lt=2**16)
    tokens: dict[Name, SecretStr] = Field(default_factory=dict)
    max_bundle_bytes: Bytes = Field(default=Bytes(64 * 2**20), gt=0)
    max_unpacked_bytes: Bytes = Field(default=Bytes(128 * 2**20), gt=0)
    max_open_uploads: int = Field(default=4, ge=1)
    upload_expiry: timedelta = timedelta(days=2)
    silence: timedelta = timedelta(seconds=60)
    access_log: bool = False

    @property
    def database_url(self) -> str:
        """Where the ledger is."""
        return self.database or f"sqlite:///{(self.folder / 'ledger.db').resolve()}"
