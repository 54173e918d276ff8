"""The worker library: what user code for training, evaluation and inference imports.

Its names, return shapes and environment variables are those that workers of Sedna use; the distribution
``orbitloop-sedna`` offers them under that import name. Light: no machine-learning framework is imported before user
code brings one.

What belongs here: jobs as user code sees them, backends for estimators, reports to the Local Controller, hot update,
data sets and files of a worker. What does not: decisions (``domain``), what crosses space (``wire``), and whatever the
Local Controller does with a report.
"""

from orbitloop.worker.absent import FederatedLearning, FederatedLearningV2, LifelongLearning
from orbitloop.worker.big_model import BigModelService
from orbitloop.worker.config import BaseConfig, Context
from orbitloop.worker.datasets import BaseDataSource, CSVDataParse, JSONDataParse, TxtDataParse
from orbitloop.worker.files import FileOps
from orbitloop.worker.incremental import IncrementalLearning
from orbitloop.worker.joint import JointInference
from orbitloop.worker.log import LOGGER
from orbitloop.worker.network import get_host_ip
from orbitloop.worker.registry import ClassFactory, ClassType

__all__ = [
    "LOGGER",
    "BaseConfig",
    "BaseDataSource",
    "BigModelService",
    "CSVDataParse",
    "ClassFactory",
    "ClassType",
    "Context",
    "FederatedLearning",
    "FederatedLearningV2",
    "FileOps",
    "IncrementalLearning",
    "JSONDataParse",
    "JointInference",
    "LifelongLearning",
    "TxtDataParse",
    "get_host_ip",
]
