"""Trained circuits for other languages, their weights bound."""
