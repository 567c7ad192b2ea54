#!/usr/bin/env bash
# Run the services of compose.yaml with an image that was published, named with its digest, one process after another.
# When they do not come up, the image before is put back. Which images those are is kept in deploy/compose/state, so
# that rollback.sh can go back.
set -euo pipefail
cd "$(dirname "$0")/../.."
state=deploy/compose/state

image=${1:?which image, as name@sha256:digest}
if [[ ! "$image" =~ ^[a-z0-9./:_-]+@sha256:[0-9a-f]{64}$ ]]; then
  echo "$image is no image with a digest" >&2
  exit 2
fi

mkdir -p "$state"
exec 9>"$state/lock"
if ! flock --nonblock 9; then
  echo "another deployment is under way" >&2
  exit 1
fi
current=$(cat "$state/current" 2>/dev/null || true)

up() {
  docker compose up --detach --no-build --wait --wait-timeout 300 "$@" 9>&-
}

# Joined by &&: what decides whether it succeeded does not stop at the first failure by itself.
run() {
  local process
  { docker image inspect "$1" >/dev/null 2>&1 || docker pull --quiet "$1"; } &&
    docker tag "$1" monedero:local &&
    for process in $(docker compose config --services | grep '^api-' | sort); do
      up "$process" || return 1
    done &&
    up --remove-orphans
}

if ! run "$image"; then
  echo "$image does not come up" >&2
  if [[ -n "$current" && "$image" != "$current" ]]; then
    echo "back to $current" >&2
    run "$current"
  fi
  exit 1
fi

if [[ "$image" != "$current" ]]; then
  [[ -z "$current" ]] || echo "$current" >"$state/previous"
  echo "$image" >"$state/current"
fi
echo "$image serves"
