"""How fast the eye on board is, beside its peers; see :mod:`bench.onboard.__main__`."""
