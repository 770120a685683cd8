"""Thousands of orders through all faults of all channels at once: `python -m tests.simulation --orders N --seed S`.

    lives.py        what happens to one order, drawn from the seed and the order's number
    providers.py    the channels: books of their own, faults, notices that come early, late, twice or forged
    town.py         one store, several workers, and a clock that jumps to whatever is next
    invariants.py   what must hold of every order that a step has touched, and of everything

Which faults an order meets depends on the seed alone; how its steps interleave with those of others, also on the
machine.
"""
