"""Any engine in a process of its own: what it does there, it does to itself."""
