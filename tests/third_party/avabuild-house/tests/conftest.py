pytest_plugins = ["avabuild.testing"]
