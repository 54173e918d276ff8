"""What the operators do with any kind: look at what is due, ask its handler, carry out the answer.

What belongs here: order, repetition and comparison, through ports. What does not: what one kind needs (its handler),
and how a request is sent (the adapters).
"""
