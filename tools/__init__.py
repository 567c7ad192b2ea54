"""What the project is built and checked with; no part of the package."""
