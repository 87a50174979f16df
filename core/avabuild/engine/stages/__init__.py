"""Stages: containers of the build's own, in which sources and compiles become packages."""
