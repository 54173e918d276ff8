"""The detector in torch: network, loss, augmentation, training, export.

What belongs here: what turns labelled images into weights. What does not: which samples to train on and whether the
result may fly.
"""
