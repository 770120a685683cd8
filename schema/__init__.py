"""What the API says: `schema` is the whole of it, printed in schema.graphql."""

from schema.root import build

schema = build()
