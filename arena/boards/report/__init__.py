"""A board as one file that opens without a server: counters, style sheet and solver in one page."""
