"""Use cases: the only callers of `store.write`. The story is in purchase.py."""
