"""What samples are measured by, where several data generators share it; one file per kind of data."""
