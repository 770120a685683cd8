"""Each verb of each repository runs on both engines and says what its docstring promises, once."""
