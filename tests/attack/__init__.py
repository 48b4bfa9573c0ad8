"""Inputs made to hang, crash or cheat: real files, real processes, each kind in a short form."""
