"""The verbs of the command line, one a file. Each module has a click command named `command`.

A verb parses, calls one function that does the work, and prints. It returns its exit code.
"""
