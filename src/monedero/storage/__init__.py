"""Where the log and its projections are kept: the port in `store`, one folder for each implementation."""
