"""Numbers from verdicts, each with an interval. Pure: records in, values out."""
