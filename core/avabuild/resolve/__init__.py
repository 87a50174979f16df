"""Requirements to packages, and packages to files: uv, indexes, the lock file and the downloads."""
