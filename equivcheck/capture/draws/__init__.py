"""Draw sampled cases many times over, for the tests of their law; decides nothing about them."""
