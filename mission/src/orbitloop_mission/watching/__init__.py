"""What goes on in a cluster, for people who watch: jobs and satellites as they stand, and what has changed.

What belongs here: reading statuses as the operators write them, and telling two looks apart. What does not: how either
is drawn (``cli``), and anything that writes to the cluster.
"""
