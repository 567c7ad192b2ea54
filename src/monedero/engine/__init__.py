"""The write side's shell: group commit, and the audit and rebuild of what it wrote."""
