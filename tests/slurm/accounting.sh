#!/usr/bin/env bash
# accounting.sh RUNDIR - start a private MariaDB + slurmdbd for up.sh (SLURM_ACCT=1 calls it).
# Needs: apt-get install --no-install-recommends slurmdbd mariadb-server
set -euo pipefail
RUN=$(cd "$1" && pwd -P); DB=$RUN/db; mkdir -p "$DB" "$RUN/log"
. "$RUN/acct.ports"     # DBPORT DBDPORT
running() { local p; p=$(cat "$1" 2>/dev/null) && tr '\0' ' ' <"/proc/$p/cmdline" 2>/dev/null | grep -q -- "$2"; }
t() { [ -z "${SLURM_TIMING:-}" ] || echo "$(date +%s.%N) $*" >&2; }
t begin
M="--no-defaults --datadir=$DB/data --socket=$DB/m.sock --pid-file=$DB/m.pid --user=root"
[ -d "$DB/data/mysql" ] || mariadb-install-db $M --auth-root-authentication-method=normal --skip-test-db >"$RUN/log/mariadb-install.log" 2>&1
t installed
running "$DB/m.pid" "mariadbd.*$DB" || {
  setsid mariadbd $M --bind-address=127.0.0.1 --port="$DBPORT" --log-error="$RUN/log/mariadb.log" \
    --innodb-buffer-pool-size=64M --innodb-lock-wait-timeout=900 --innodb-flush-log-at-trx-commit=0 --skip-log-bin </dev/null >/dev/null 2>&1 &
  for _ in $(seq 1 150); do mariadb-admin --no-defaults -S "$DB/m.sock" ping >/dev/null 2>&1 && break; sleep 0.1; done
}
t mariadb-up
mariadb --no-defaults -S "$DB/m.sock" -e "CREATE DATABASE IF NOT EXISTS slurm_acct_db; CREATE USER IF NOT EXISTS 'slurm'@'127.0.0.1' IDENTIFIED BY 'slurm'; CREATE USER IF NOT EXISTS 'slurm'@'localhost' IDENTIFIED BY 'slurm'; GRANT ALL ON slurm_acct_db.* TO 'slurm'@'127.0.0.1'; GRANT ALL ON slurm_acct_db.* TO 'slurm'@'localhost';"
( umask 077; cat >"$RUN/slurmdbd.conf" <<CONF
AuthType=auth/munge
AuthInfo=socket=$RUN/munge/munge.socket
DbdHost=$(hostname -s)
DbdAddr=127.0.0.1
DbdPort=$DBDPORT
SlurmUser=root
PidFile=$RUN/slurmdbd.pid
LogFile=$RUN/log/slurmdbd.log
DebugLevel=info
CommitDelay=1
StorageType=accounting_storage/mysql
StorageHost=127.0.0.1
StoragePort=$DBPORT
StorageUser=slurm
StoragePass=slurm
StorageLoc=slurm_acct_db
CONF
)
t db-made
# slurmdbd looks for slurmdbd.conf beside $SLURM_CONF
running "$RUN/slurmdbd.pid" "slurmdbd" || (cd "$RUN" && SLURM_CONF=$RUN/slurm.conf slurmdbd)
for _ in $(seq 1 100); do SLURM_CONF=$RUN/slurm.conf timeout 3 sacctmgr -n -i list cluster >/dev/null 2>&1 && break; sleep 0.1; done
t slurmdbd-up
