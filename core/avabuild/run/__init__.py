"""Run: recipes in, images out: what one run does for all of them."""
