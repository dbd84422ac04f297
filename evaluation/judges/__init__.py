"""Judging as pure text work: what a judge is shown, and what its words mean. Who calls it is not known here."""
