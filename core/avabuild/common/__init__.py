"""Common: what every room uses: failures, values, and how the formats of others are read."""
