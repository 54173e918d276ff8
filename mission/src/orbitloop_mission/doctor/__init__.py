"""What an installation in a cluster lacks: what was seen of it, and what that means.

What belongs here: facts, how they are looked at, and checks that are pure functions of facts. What does not: how they
are printed (``cli``), and the doctor of a satellite's own node, which flies (``orbitloop_edge.doctor``).
"""
