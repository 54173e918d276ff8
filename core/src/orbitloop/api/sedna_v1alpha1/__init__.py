"""Sedna's kinds, field for field; what is added is optional, or in the status."""
