"""What crosses space: versioned messages, bundles and deltas, and their bytes.

What belongs here: encoding and decoding, tolerant of last month's peer. What does not: sockets, sessions and what a
message leads to.
"""
