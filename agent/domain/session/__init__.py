"""The rules of the session table, one part of a session's life per module."""
