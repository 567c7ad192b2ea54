"""What somebody who trusts nobody checks offline: keys, signed notes, checkpoints, receipts. It knows of no store."""
