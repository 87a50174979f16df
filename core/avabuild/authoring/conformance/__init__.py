"""The conformance kit: holds a plugin against every point of the contract and says what to change."""
