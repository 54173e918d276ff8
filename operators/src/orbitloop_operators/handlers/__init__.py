"""What is done about each kind: one file a kind, each a pure function from what is seen to what should change.

What belongs here: parse a resource, ask the domain, say what to change. What does not: talking to the API server,
clocks, queues; the runtime reads, calls and applies.
"""
