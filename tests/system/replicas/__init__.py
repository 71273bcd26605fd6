"""Many routers on one database: real servers and processes, the faults between them, and what judges them."""
