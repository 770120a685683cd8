"""Wake-ups: a hint that a stream has moved, never the truth."""
