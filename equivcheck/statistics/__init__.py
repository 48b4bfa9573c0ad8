"""Tests of a sampled law: e-processes and bounds over scores. Pure; numpy and scipy only."""
