"""Tools: programs outside of ours, how they are run and what they say."""
