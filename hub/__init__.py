"""Tongbao (通宝): a GraphQL federation hub for cross-platform knowledge payments."""

__version__ = "0.1.0"
