#!/usr/bin/env bash
# Run the image again that ran before the current one. Twice leads back to where it was.
# A release that brought a migration cannot be taken back so: the older program refuses the newer ledger.
set -euo pipefail
cd "$(dirname "$0")"

if [[ ! -s state/previous ]]; then
  echo "no image ran before this one" >&2
  exit 1
fi
exec ./deploy.sh "$(cat state/previous)"
