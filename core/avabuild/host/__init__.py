"""Host: what this machine and its user offer a build."""
