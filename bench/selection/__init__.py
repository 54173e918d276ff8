"""Which samples are worth their bytes: our selection beside random, Sedna's rules, entropy, core-set and everything."""
