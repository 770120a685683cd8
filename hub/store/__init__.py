"""Everything durable of the hub: one database, two doors (`write`, `reading`), one repository per noun."""
