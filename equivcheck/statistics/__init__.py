"""Tests of a sampled distribution: e-processes, bounds over scores. Pure; numpy and scipy only."""
