"""What makes each figure."""
