"""What the operators' process answers over HTTP: probes, metrics, and admission reviews.

What belongs here: requests and answers. What does not: what an object may look like (the API's rules).
"""
