"""The satellite's implementations of ports: disk, onnxruntime, the link.

What belongs here: everything that touches the machine. What does not: decisions. Only ``orbitloop_edge.app`` names what
is in here.
"""
