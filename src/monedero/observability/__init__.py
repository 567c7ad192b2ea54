"""What shows how the service fares. The rooms below know nothing of it: the wiring hands its hooks to them."""
