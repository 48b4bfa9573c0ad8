"""Whether speculation is worth switching on, workload by workload, from measured figures. Pure."""
