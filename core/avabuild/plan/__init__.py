"""Plan: recipe, base and plugins make a Plan. Pure."""
