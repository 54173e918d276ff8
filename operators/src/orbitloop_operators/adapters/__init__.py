"""The outside world of the operators: the API server, its watches, the lease, probes and metrics.

What belongs here: requests, sockets, the store of what was watched. What does not: what should change about an object.
"""
