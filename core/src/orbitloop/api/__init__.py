"""The types of the custom resources, one file a kind.

What belongs here: pydantic models of what users write, strict about unknown fields. What does not: what is decided from
them, which is ``orbitloop.domain``.
"""
