"""A ground and satellites on this machine: a kind cluster behind a space link, with everything installed."""
