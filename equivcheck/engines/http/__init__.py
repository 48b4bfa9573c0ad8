"""Engine `http`: any server by URL. One dialect a file; the server's own ids in, and ids out."""
