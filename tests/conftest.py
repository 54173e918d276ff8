"""What every test folder shares: laws are tried alike on every machine."""

from hypothesis import settings

# No deadline: a loaded machine is not a wrong answer, and pytest-timeout stops what hangs. Derandomised: the same
# commit gives the same result twice.
settings.register_profile("orbitloop", deadline=None, derandomize=True)
settings.load_profile("orbitloop")
