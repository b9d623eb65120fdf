"""OpenQASM 3: circuits as data."""
