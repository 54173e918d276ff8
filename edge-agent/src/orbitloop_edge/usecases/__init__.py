"""What the satellite does, one module a task, through ports.

What belongs here: observe, ask the domain, carry out. What does not: the name of a concrete adapter, a framework, a
decision that could be a pure function of the core.
"""
