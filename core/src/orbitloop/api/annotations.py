"""Annotations by which a job says what Sedna has no field for; the original Sedna passes over them."""

LINK_POLICY = "orbitloop.io/link-policy"
"""Name of the LinkPolicy of a job, in its namespace."""

SATELLITES = "orbitloop.io/satellites"
"""Names of the satellites that a job's model flies on, separated by commas; else the one that its Dataset is on."""
