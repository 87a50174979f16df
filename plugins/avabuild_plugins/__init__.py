"""The framework plugins that come with avabuild, registered exactly as third parties' are."""
