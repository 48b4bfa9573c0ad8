"""Draw sampled cases many times over, to test their distribution; decides nothing about them."""
