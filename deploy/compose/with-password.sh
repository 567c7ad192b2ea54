#!/bin/sh
# Run a command with the database's password in the environment, where libpq looks for it.
set -eu
PGPASSWORD=$(cat /run/secrets/monedero_password)
export PGPASSWORD
exec "$@"
