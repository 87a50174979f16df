"""Inside: the user and mount namespace in which a build uses the image storage, and the steps it runs there.

`namespace` is the engine's side of it; `server` is the process that lives inside; `step` says what a command
gets, and `runner` gives it that.
"""
