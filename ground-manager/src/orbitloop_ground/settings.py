"""What the ground's gateway is told from outside; read once.

Options of the command come before ``ORBITLOOP_GROUND_*`` of the environment, that before the file.
"""

from __future__ import annotations

import tomllib
from datetime import timedelta
from pathlib import Path
from typing import Any, Self

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from orbitloop.domain.errors import BadInput
from orbitloop.domain.units import MEGABIT, BitsPerSecond, Bytes
from orbitloop.wire.complaints import first_complaint

_PREFIX = "ORBITLOOP_GROUND_"
_PATHS = ("folder", "keys", "cfdp_plan", "operator_token", "reviewers", "labels", "teacher")


class GroundSettings(BaseSettings):
    """Settings of the gateway. Durations in a file or the environment are seconds, or ISO 8601 (``PT10S``).

    Relative paths in a file count from the file, others from the working directory.

    Attributes:
        folder: where the gateway keeps uploads, models, updates and, unless ``blobs`` and ``database`` say otherwise,
            blobs and its ledger.
        keys: the ground's folder of keys, as ``orbitloop-ground keys`` makes it.
        database: the ledger, as SQLAlchemy reads it; by default SQLite in ``folder``, with a journal beside it.
        blobs: bucket of the samples' pixels, ``s3://bucket/prefix``; by default in ``folder``. Its keys come as all
            of Amazon's programs take them, such as by ``AWS_ACCESS_KEY_ID`` and ``AWS_SECRET_ACCESS_KEY``.
        blobs_endpoint: URL of its service, if it is not Amazon's.
        host: address to listen on.
        port: TCP port to listen on; 0 takes a free one.
        datagram_port: UDP port to listen on; 0 takes a free one, ``None`` none at all.
        cfdp_host: address to listen on for CCSDS File Delivery, which authenticates nobody.
        cfdp_port: its UDP port; 0 takes a free one, ``None`` none at all.
        cfdp_entity: the ground's entity id.
        cfdp_remotes: the satellites' entities, each ``ENTITY=SATELLITE@HOST:PORT``; no other is heard.
        cfdp_plan: contact plan as CSV: between its passes CFDP is suspended. ``None`` never suspends it.
        admin_host: address that health and metrics are served on, in plain HTTP.
        admin_port: TCP port of health and metrics; 0 takes a free one.
        operator_token: file with the token that the Global Manager shows on that port, at least 16 characters; without
            one it is not let in.
        reviewers: file with the name and the token of each person who may review labels on that port, one a line;
            without it the page is not there.
        classes: names of the classes, in the order of their labels; by default those of ``labels``, or of the models
            that the ground knows.
        labels: COCO annotations of the frames that satellites look at: they label what came down, for exported datasets
            and to prove updates on board.
        teacher: folder of a model on the ground that labels frames without annotations for the same ends, calibrated by
            ``orbitloop calibrate``; tiles that it doubts wait for a person.
        max_update_bytes: largest update that is made of a model file.
        update_least_carried: least share of what training changed that such an update carries, from 0 to 1.
        max_bundle_bytes: largest bundle that is taken.
        max_unpacked_bytes: most that a bundle may hold once it is decompressed.
        max_open_uploads: unfinished bundles that one satellite may have here at a time.
        upload_expiry: how long after its last byte an unfinished bundle gives way to others.
        silence: how long a connection may say nothing in the middle of a body before it is dropped.
        handshake: how long a TLS handshake may take.
        head: how long the head of a request may take.
        max_connections: connections in all.
        max_connections_from_address: connections from one address.
        max_connections_of_satellite: connections of one satellite; a new one takes the place of the oldest.
        uplink: rate that answers to each of ``uplink_peers`` are held to, and datagrams to each satellite; ``None``
            leaves the former to the link and holds the latter to 1 Mbit/s.
        uplink_peers: IPv4 addresses that satellites come from.
        interface: network interface towards them, for shaping by the kernel.
        access_log: whether every request is logged.
    """

    model_config = SettingsConfigDict(env_prefix=_PREFIX, frozen=True, extra="forbid")

    folder: Path
    keys: Path
    database: str | None = Field(default=None, repr=False)  # it may hold a password
    blobs: str | None = Field(default=None, pattern=r"^s3://[^/]+(/[^/]+)*$")
    blobs_endpoint: str | None = Field(default=None, pattern=r"^https?://[^/@]+$")
    host: str = "127.0.0.1"
    port: int = Field(default=8400, ge=0, lt=2**16)
    datagram_port: int | None = Field(default=None, ge=0, lt=2**16)
    cfdp_host: str = "127.0.0.1"
    cfdp_port: int | None = Field(default=None, ge=0, lt=2**16)
    cfdp_entity: int = Field(default=1, ge=0, lt=2**16)
    cfdp_remotes: tuple[str, ...] = ()
    cfdp_plan: Path | None = None
    admin_host: str = "127.0.0.1"
    admin_port: int = Field(default=8401, ge=0, lt=2**16)
    operator_token: Path | None = None
    reviewers: Path | None = None
    classes: tuple[str, ...] = ()
    labels: Path | None = None
    teacher: Path | None = None
    max_update_bytes: Bytes = Field(default=Bytes(300_000), gt=0)
    update_least_carried: float = Field(default=0.5, ge=0, le=1)
    max_bundle_bytes: Bytes = Field(default=Bytes(64 * 2**20), gt=0)
    max_unpacked_bytes: Bytes = Field(default=Bytes(128 * 2**20), gt=0)
    max_open_uploads: int = Field(default=8, ge=1)
    upload_expiry: timedelta = timedelta(days=2)
    silence: timedelta = Field(default=timedelta(seconds=60), gt=timedelta(0))
    handshake: timedelta = Field(default=timedelta(seconds=10), gt=timedelta(0))
    head: timedelta = Field(default=timedelta(seconds=10), gt=timedelta(0))
    max_connections: int = Field(default=512, ge=1)
    max_connections_from_address: int = Field(default=128, ge=1)
    max_connections_of_satellite: int = Field(default=16, ge=1)
    uplink: BitsPerSecond | None = Field(default=None, gt=0)
    uplink_peers: tuple[str, ...] = ()
    interface: str | None = None
    access_log: bool = False

    @property
    def datagram_rate(self) -> BitsPerSecond:
        """Of everything that is sent to one satellite in datagrams, headers included."""
        return self.uplink or MEGABIT

    @classmethod
    def read(cls, config: Path | None, given: dict[str, Any]) -> Self:
        """Settings of the command: ``given`` options, the environment, and a TOML file.

        Raises:
            BadInput: one of them is missing, unknown or out of range.
        """
        written = {} if config is None else cls._from_file(config)
        try:
            told = cls._from_environment()
            return cls.model_validate(written | told | given)
        except ValidationError as error:
            raise BadInput(
                f"settings of the gateway: {first_complaint(error)}; give it in the file, as {_PREFIX}… or as an option"
            ) from None

    @classmethod
    def _from_file(cls, config: Path) -> dict[str, Any]:
        try:
            written = tomllib.loads(config.read_text(encoding="utf-8"))
        except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise BadInput(f"{config}: cannot be read as TOML ({error}); see docs/reference/gateway.md") from error
        if unknown := sorted(written.keys() - cls.model_fields.keys()):
            raise BadInput(f"{config}: there is no setting {', '.join(unknown)}; see docs/reference/gateway.md")
        paths = {name: config.parent / written[name] for name in _PATHS if isinstance(written.get(name), str)}
        return written | paths

    @classmethod
    def _from_environment(cls) -> dict[str, Any]:
        from pydantic_settings import EnvSettingsSource

        return dict(EnvSettingsSource(cls)())
