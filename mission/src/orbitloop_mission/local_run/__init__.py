"""Jobs of manifests on one machine: the Global Manager's own loop, with a cluster in memory and local processes.

What belongs here: what a cluster has and one machine must bring itself, and when a run is over. What does not: what a
job does next (the operators), how a pod is carried out (``local_node``), how it is shown (``cli``).
"""
