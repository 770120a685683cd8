"""The store, over both engines."""
