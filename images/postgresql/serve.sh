#!/bin/sh
# Serves the database in PGDATA, and makes it there first if there is none, with the settings of docker.io/library/postgres:
# POSTGRES_PASSWORD, and POSTGRES_USER (postgres) and POSTGRES_DB (the user's name). Arguments are for the server, or
# another command. Who runs it must own PGDATA, and may write to /tmp and /var/run/postgresql and nowhere else.
set -eu
umask 077

case ${1:-} in
  '' | -*) ;;
  postgres) shift ;;
  *) exec "$@" ;;
esac

making=$PGDATA/making
if [ ! -e "$PGDATA/PG_VERSION" ]; then
  if [ ! -e "$making/made" ]; then
    if [ -z "${POSTGRES_PASSWORD:-}" ]; then
      echo "there is no database in $PGDATA; to make one, set POSTGRES_PASSWORD" >&2
      exit 1
    fi
    user=${POSTGRES_USER:-postgres}
    database=${POSTGRES_DB:-$user}
    rm -rf "$making" # what an earlier start did not finish
    printf '%s\n' "$POSTGRES_PASSWORD" | initdb --pgdata="$making" --username="$user" --pwfile=/dev/stdin \
      --auth-local=trust --auth-host=scram-sha-256 --encoding=UTF8 --locale=C.UTF-8
    echo 'host all all all scram-sha-256' >>"$making/pg_hba.conf"
    if [ "$database" != postgres ]; then
      printf 'CREATE DATABASE "%s";\n' "$(printf '%s' "$database" | sed 's/"/""/g')" \
        | postgres --single -D "$making" -j postgres >/dev/null
    fi
    touch "$making/made"
    sync
  fi
  # PG_VERSION comes last: whoever finds it finds all.
  for entry in "$making"/*; do
    case ${entry##*/} in
      made | PG_VERSION) ;;
      *) mv "$entry" "$PGDATA/" ;;
    esac
  done
  sync
  mv "$making/PG_VERSION" "$PGDATA/"
fi
rm -rf "$making"
exec postgres -c 'listen_addresses=*' "$@"
