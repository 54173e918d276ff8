"""Aggregation of federated learning, which is not there yet: using it says so."""

from orbitloop.worker.absent import absent

FedAvg = absent("FedAvg")
FedAvgV2 = absent("FedAvgV2")
MistNet = absent("MistNet")

__all__ = ["FedAvg", "FedAvgV2", "MistNet"]
