"""A thousand seeded faults on the models of a satellite: flipped bits, forged and cut updates, killed proofs."""
