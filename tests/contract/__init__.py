"""The package and the sandbox, which share no code, over HTTP."""
