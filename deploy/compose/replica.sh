#!/usr/bin/env bash
# Start PostgreSQL as a streaming replica of $PRIMARY_HOST; the first time, copy the primary before that.
# The arguments are the server's command line.
set -euo pipefail
umask 077
: "${PGDATA:?}" "${PRIMARY_HOST:?}"

# In memory, so that the password is in no volume. The copy's configuration names this file: it is made at each start.
passfile=/tmp/replication.pgpass
password=$(sed 's/[\\:]/\\&/g' /run/secrets/replication_password)
printf '*:*:*:replication:%s\n' "$password" >"$passfile"

if [[ ! -s "$PGDATA/PG_VERSION" ]]; then
  # Copied beside and then renamed, so that a copy that was cut short is never started.
  mkdir -p "$(dirname "$PGDATA")"
  rm -rf "$PGDATA.part"
  pg_basebackup \
    --dbname="host=$PRIMARY_HOST user=replication passfile=$passfile application_name=replica connect_timeout=5" \
    --pgdata="$PGDATA.part" --write-recovery-conf --wal-method=stream --checkpoint=fast --no-password
  mv --no-target-directory "$PGDATA.part" "$PGDATA"
fi

if [[ ! -e "$PGDATA/standby.signal" ]]; then
  echo "$PGDATA is no replica any more: it was promoted. Starting it would make a second primary." >&2
  exit 1
fi

exec "$@"
