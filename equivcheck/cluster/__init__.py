"""Runs shards of a run as actors of a Ray cluster, and brings their records home as they come."""
