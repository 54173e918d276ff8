"""What flies: the inference worker and the Local Controller.

What belongs here: frames to detections to spooled samples, contact sessions, model slots. What does not: training, web
frameworks, the Kubernetes API; the satellite works with nobody to talk to.
"""
