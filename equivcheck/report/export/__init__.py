"""A run's counts for other people's tools. Pure: evidence in, text out; nothing is judged here."""
