"""Servers of aggregation and inference.

What belongs here: what Sedna has under this path. What does not: code of its own.
"""

from orbitloop.worker.absent import absent

AggregationServer = absent("AggregationServer")
AggregationServerV2 = absent("AggregationServerV2")
InferenceServer = absent("InferenceServer")

__all__ = ["AggregationServer", "AggregationServerV2", "InferenceServer"]
