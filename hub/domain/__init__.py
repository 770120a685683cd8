"""What the hub knows about money, orders and rights: pure values and tables, no clock, no randomness, no I/O."""
