"""Foreign peers that we ship: a payment provider with its pay page, and two content platforms.

Strangers to the hub by contract: nothing of it is imported here, they keep their own SQLite file and their own keys,
and the hub reaches them over a loopback socket only. `hub.sandbox.server.serve` starts them.
"""
