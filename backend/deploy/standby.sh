#!/bin/sh
# Copies the primary at the first start, and follows it from then on; as the user postgres.
set -eu
data=/var/lib/postgresql/standby
if [ "$(id -u)" = 0 ]; then
    mkdir -p "$data"
    chown -R postgres:postgres /var/lib/postgresql
    chmod 0700 "$data"
    exec gosu postgres "$0"
fi
if [ ! -s "$data/PG_VERSION" ]; then
    until PGPASSWORD=$POSTGRES_PASSWORD pg_basebackup -D "$data" -R -X stream -c fast \
        -d "host=primary user=$POSTGRES_USER application_name=standby"; do
        find "$data" -mindepth 1 -delete
        sleep 1
    done
fi
exec postgres -D "$data" -c hba_file=/etc/postgresql/pg_hba.conf -c cluster_name=standby
