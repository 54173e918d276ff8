"""Data sets of a worker.

What belongs here: what Sedna has under this path. What does not: code of its own.
"""

from orbitloop.worker.datasets import BaseDataSource, CSVDataParse, JSONDataParse, TxtDataParse

__all__ = ["BaseDataSource", "CSVDataParse", "JSONDataParse", "TxtDataParse"]
