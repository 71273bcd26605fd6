"""The inbox of many replicas: a PostgreSQL database, from version 15 on."""
