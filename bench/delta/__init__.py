"""What an update is worth: bytes against accuracy, ours beside the peers."""
