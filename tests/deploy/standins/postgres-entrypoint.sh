#!/bin/bash
# Does for `postgres` what the public image does: a cluster at the first start, its user, password
# and database by POSTGRES_*, then the scripts of docker-entrypoint-initdb.d. Redis is
# run as its user.
set -eu
programs=$(echo /usr/lib/postgresql/*/bin)
export PATH=$programs:$PATH PGDATA=${PGDATA:-/var/lib/postgresql/data}
as() { exec setpriv --reuid="$1" --regid="$1" --init-groups "${@:2}"; }
case $1 in
redis-server) as redis "$@" ;;
postgres) ;;
*) exec "$@" ;;
esac
if [ "$(id -u)" = 0 ]; then
  chown postgres "$PGDATA" && chmod 700 "$PGDATA"
  mkdir -p /run/postgresql && chown postgres /run/postgresql
  as postgres "$0" "$@"
fi
if [ ! -s "$PGDATA/PG_VERSION" ]; then
  initdb --username="$POSTGRES_USER" --pwfile=<(echo "$POSTGRES_PASSWORD") --auth-host=scram-sha-256 \
    --auth-local=trust --encoding=UTF8 --locale=C.UTF-8 --no-sync > /dev/null
  echo 'host all all all scram-sha-256' >> "$PGDATA/pg_hba.conf"
  pg_ctl --wait start --options="-c listen_addresses=''" > /dev/null
  if [ "$POSTGRES_DB" != postgres ]; then createdb --username="$POSTGRES_USER" "$POSTGRES_DB"; fi
  for script in /docker-entrypoint-initdb.d/*.sh; do
    if [ -e "$script" ]; then bash "$script"; fi
  done
  pg_ctl --wait stop > /dev/null
fi
exec postgres -c listen_addresses='*'
