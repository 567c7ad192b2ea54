"""The Grafana dashboard, written by code: `python -m tools.dashboard`."""
