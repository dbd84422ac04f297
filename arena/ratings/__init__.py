"""The mathematics of the arena. Pure: arrays and names in, ratings and intervals out; no Django, no files, no clock."""
