"""One gate a file. Pure: records in, findings out."""
