"""Choice of clients in federated learning, which is not there yet: using it says so."""

from orbitloop.worker.absent import absent

SimpleClientChoose = absent("SimpleClientChoose")

__all__ = ["SimpleClientChoose"]
