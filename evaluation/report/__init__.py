"""What a person reads after an evaluation: records in, tables and pages out.

The same tables and the same templates make the site's pages and the static folder; only the addresses differ.
"""
