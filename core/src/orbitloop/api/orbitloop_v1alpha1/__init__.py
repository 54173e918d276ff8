"""What Sedna has no word for: satellites, ground stations, their contacts, and what may be sent."""
