"""Images of what runs in pods: built when something in them changed, weighed, and listed part by part.

``images/`` says what they are made of, for any builder; here is what a builder is handed.
"""
