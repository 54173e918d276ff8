"""The command line, one module a command.

What belongs here: arguments, progress, exit codes. What does not: anything that a test would want without a terminal.
"""
