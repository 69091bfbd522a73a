"""Commands for work on the project itself; no other folder imports them."""
