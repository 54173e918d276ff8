"""Joint inference."""

from orbitloop.worker.big_model import BigModelService
from orbitloop.worker.joint import JointInference

__all__ = ["BigModelService", "JointInference"]
