"""The arena's pages: each view fetches with permission, calls one service, and responds."""
