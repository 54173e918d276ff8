"""The gateway's routes: the session with a satellite, and the API for people.

What belongs here: translation between HTTP and the use cases, errors included. What does not: decisions, SQL, files.
"""
