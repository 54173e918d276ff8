"""Transmitters of federated learning, which are not there yet: using one says so."""

from orbitloop.worker.absent import absent

S3Transmitter = absent("S3Transmitter")
WSTransmitter = absent("WSTransmitter")

__all__ = ["S3Transmitter", "WSTransmitter"]
