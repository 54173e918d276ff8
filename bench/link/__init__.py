"""What the space link carries, as live processes on real sockets, beside its peers in the same run.

    mission  a ground, a satellite and their keys, ready to be started
    steady   a clean pass at the nominal rates, both ways
    passes   a model too large for one pass
    replay   a recorded pass, ours and the peers
    idle     what the Local Controller costs between passes

``python -m bench.link`` runs it and writes ``build/bench/link.json``.
"""
