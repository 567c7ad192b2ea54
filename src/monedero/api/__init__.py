"""The documented HTTP API: one file a noun, one route table, one table from refusals to HTTP."""
