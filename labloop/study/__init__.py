"""Readers of the journal: tables and pictures of what was found. pandas and matplotlib live here only."""
