"""A satellite, a space link and a ground as live processes, and a thousand seeded faults.

    world   the processes, their folders, and what has to be true of them in the end
    worker  the satellite's worker: hands over numbered samples, and proves updates as the real one does
    faults  what befalls them
    clocks  wall clocks that can be stepped

``python -m bench.chaos`` runs it.
"""
