"""The one-time transformation of an application: contexts, their engine, small networks, and the selection logic.

What belongs here: reading frames, training, clustering, writing ONNX. What does not: formulas and the search, which are
the domain's, and running networks, which is the satellite's matter and comes as an argument.
"""
