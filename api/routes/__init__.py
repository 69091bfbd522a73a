"""The project's own API: one file per subject."""
