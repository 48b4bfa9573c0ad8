"""The real decoder: plain and speculative decoding on one shape-locked target step."""
