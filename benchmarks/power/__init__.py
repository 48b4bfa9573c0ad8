"""How often the sampled gate accuses a sound decoder, and how soon it finds each seeded fault."""
