"""The decoder as a server: requests come and go while it works, and share what was read."""
