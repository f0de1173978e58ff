#!/usr/bin/env bash
# Makes the warehouse, its owner, and Dagster's own database with its role, when the volume of PostgreSQL is new.
# PostgreSQL's image runs it. The platform's own role is made by `cdp migrate`.
set -euo pipefail

psql --quiet --no-psqlrc --set ON_ERROR_STOP=1 --username "${POSTGRES_USER:-postgres}" --dbname postgres \
  --set warehouse="$PGSQL_DB_NAME" --set owner="$PGSQL_OWNER_USER" --set owner_password="$PGSQL_OWNER_PASSWORD" \
  --set dagster="$DAGSTER_PG_DB" --set dagster_user="$DAGSTER_PG_USERNAME" --set dagster_password="$DAGSTER_PG_PASSWORD" \
  <<'SQL'
-- The owner makes the role that the platform works as.
CREATE ROLE :"owner" LOGIN CREATEROLE PASSWORD :'owner_password';
CREATE DATABASE :"warehouse" OWNER :"owner";
CREATE ROLE :"dagster_user" LOGIN PASSWORD :'dagster_password';
CREATE DATABASE :"dagster" OWNER :"dagster_user";
\connect :"warehouse"
CREATE EXTENSION IF NOT EXISTS vector SCHEMA public;
SQL
