"""The Global Manager beside what the API server itself needs."""
