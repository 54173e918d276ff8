"""The ground's implementations of ports: database, blobs, torch, data sets.

What belongs here: everything that touches the machine. What does not: decisions. Only ``orbitloop_ground.app`` and the
mission's command name what is in here.
"""
