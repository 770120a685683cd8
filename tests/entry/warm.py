"""What every process of a hub does anew, done once in the server that forks them: imported by that one alone, last.

The certificates are read, the newest migration is found, and the garbage collector passes by all modules: it would
write to each object of theirs, and the process would have to have its own copy of nearly all memory.
"""

import gc

from hub.entry.connections import trusted
from hub.sandbox import server
from hub.store.migrate import head

trusted()
server._tls()
head()
gc.collect()
gc.freeze()
