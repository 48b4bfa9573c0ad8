"""What follows from raw counts and times: names and definitions, intervals by prompt. Pure."""
