"""The benchmark: avabuild against hand-written Containerfiles, on the same base and the same packages."""
