#!/usr/bin/env bash
# up.sh RUNDIR - start (idempotently) a private single-machine SLURM cluster.
#
# Everything lives in RUNDIR: munge key+socket, slurm.conf, state, spool, logs,
# pid files.  Nothing under /etc, /run or /var is written.  Use it with
#     . RUNDIR/env.sh          (exports SLURM_CONF)
# and end it with down.sh RUNDIR.
#
# Settings (environment):
#   SLURM_NODES=2   SLURM_CPUS=4   SLURM_GPUS=2   SLURM_MEM_MB=8192  (per virtual node)
#   SLURM_PORT=0    first TCP port; 0 = pick a free block
#   SLURM_ACCT=0    1 = sacct works: private MariaDB + slurmdbd (needs slurmdbd mariadb-server)
#   SLURM_EXTRA=    extra lines appended to slurm.conf
# Needs (Debian 12): apt-get install --no-install-recommends slurmctld slurmd slurm-client munge
set -euo pipefail
[ $# -ge 1 ] || { echo "usage: $0 RUNDIR" >&2; exit 2; }
mkdir -p "$1"; RUN=$(cd "$1" && pwd -P)
NODES=${SLURM_NODES:-2} CPUS=${SLURM_CPUS:-4} GPUS=${SLURM_GPUS:-2} MEM=${SLURM_MEM_MB:-8192}
for b in munged slurmctld slurmd sinfo; do
  command -v "$b" >/dev/null || { echo "up.sh: $b missing; apt-get install --no-install-recommends slurmctld slurmd slurm-client munge" >&2; exit 3; }
done
[ "$(id -u)" = 0 ] || { echo "up.sh: must be root (slurmd starts jobs as their users)" >&2; exit 3; }
# a unix socket path holds at most 107 bytes; slurmstepd appends spool/nNN/nNN_JOB.STEP
[ ${#RUN} -le 70 ] || { echo "up.sh: RUNDIR path too long for unix sockets (${#RUN} > 70)" >&2; exit 3; }

exec 9>"$RUN/.lock"; flock 9                # two callers at once: the second waits, then finds it up

alive() { # alive PIDFILE NAME : does the pid in PIDFILE run NAME out of RUN?
  local pid; pid=$(cat "$1" 2>/dev/null) && [ -n "$pid" ] && [ -r "/proc/$pid/cmdline" ] &&
  tr '\0' ' ' <"/proc/$pid/cmdline" | grep -q -- "$2.*$RUN"
}
export SLURM_CONF=$RUN/slurm.conf
umask 022

if [ ! -s "$RUN/slurm.conf" ]; then
  mkdir -p "$RUN"/{munge,state,spool,log,gpu}; chmod 711 "$RUN/munge"
  HOST=$(hostname -s)
  PORT=${SLURM_PORT:-0}
  if [ "$PORT" = 0 ]; then
    PORT=$(python3 - "$NODES" <<'PY'
import random, socket, sys
n = int(sys.argv[1]) + 3
for _ in range(200):
    base = random.randrange(17000, 31000, 50); ss = []   # below the ephemeral range
    try:
        for p in range(base, base + n):
            s = socket.socket(); ss.append(s); s.bind(("127.0.0.1", p))
        print(base); break
    except OSError: pass
    finally: [s.close() for s in ss]
else: sys.exit("no free ports")
PY
)
  fi
  GRES="" ; : >"$RUN/gres.conf"
  if [ "$GPUS" -gt 0 ]; then
    GRES="Gres=gpu:$GPUS"
    for i in $(seq 0 $((GPUS-1))); do   # numbered char devices (copies of /dev/null): SLURM then sets CUDA_VISIBLE_DEVICES
      [ -e "$RUN/gpu/fake$i" ] || mknod -m 666 "$RUN/gpu/fake$i" c 1 3
    done
    echo "NodeName=n[1-$NODES] Name=gpu File=$RUN/gpu/fake[0-$((GPUS-1))]" >"$RUN/gres.conf"
  fi
  printf 'DBPORT=%s DBDPORT=%s\n' $((PORT+NODES+1)) $((PORT+NODES+2)) >"$RUN/acct.ports"
  if [ "${SLURM_ACCT:-0}" = 1 ]; then
    ACCTCONF="AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStoragePort=$((PORT+NODES+2))
AccountingStoragePass=$RUN/munge/munge.socket"
  else ACCTCONF="AccountingStorageType=accounting_storage/none"; fi
  {
  cat <<CONF
ClusterName=lab
# never reuse a job id of an earlier run of this cluster: submitit's folders are named by it
FirstJobId=$(( ($(date +%s) % 6000000) * 10 + 1 ))
SlurmctldHost=$HOST(127.0.0.1)
SlurmctldPort=$PORT
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
CredType=cred/munge
# cred_expire is also how long a requeued job waits before it restarts (default 120 s)
AuthInfo=socket=$RUN/munge/munge.socket,cred_expire=5
StateSaveLocation=$RUN/state
SlurmdSpoolDir=$RUN/spool/%n
SlurmctldPidFile=$RUN/slurmctld.pid
SlurmdPidFile=$RUN/slurmd-%n.pid
SlurmctldLogFile=$RUN/log/slurmctld.log
SlurmdLogFile=$RUN/log/slurmd-%n.log
SlurmctldDebug=info
SlurmdDebug=info
# no cgroups
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
MpiDefault=none
$ACCTCONF
# one line per finished job, and 'sacct -c' reads it
JobCompType=jobcomp/filetxt
JobCompLoc=$RUN/log/jobcomp.txt
# scheduling: cores, memory and gres; react at once
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=1,sched_min_interval=0,batch_sched_delay=0,bf_interval=1,bf_min_age_reserve=0,requeue_delay=0
DefMemPerCPU=256
MaxArraySize=10001
MaxJobCount=20000
MinJobAge=3600
ReturnToService=2
SlurmdParameters=config_overrides
SlurmctldTimeout=30
SlurmdTimeout=60
KillWait=5
InactiveLimit=0
UnkillableStepTimeout=60
PropagateResourceLimits=NONE
GresTypes=gpu
${SLURM_EXTRA:-}
CONF
  for i in $(seq 1 "$NODES"); do
    echo "NodeName=n$i NodeHostname=$HOST NodeAddr=127.0.0.1 Port=$((PORT+i)) CPUs=$CPUS RealMemory=$MEM $GRES State=UNKNOWN"
  done
  echo "PartitionName=main Nodes=n[1-$NODES] Default=YES MaxTime=INFINITE DefaultTime=10 State=UP OverSubscribe=NO"
  } >"$RUN/slurm.conf.new"
  [ -s "$RUN/munge/munge.key" ] || mungekey --create --keyfile="$RUN/munge/munge.key"
  printf 'export SLURM_CONF=%q\n' "$RUN/slurm.conf" >"$RUN/env.sh"
  mv "$RUN/slurm.conf.new" "$RUN/slurm.conf"
fi

# 9>&- : the daemons must not keep the lock
alive "$RUN/munge/munged.pid" munged || {
  munged --force --key-file="$RUN/munge/munge.key" --socket="$RUN/munge/munge.socket" \
    --pid-file="$RUN/munge/munged.pid" --log-file="$RUN/munge/munged.log" --seed-file="$RUN/munge/munge.seed" 9>&-
}
grep -q '^AccountingStorageType=accounting_storage/slurmdbd' "$RUN/slurm.conf" && "$(dirname "$(readlink -f "$0")")/accounting.sh" "$RUN" 9>&-
alive "$RUN/slurmctld.pid" slurmctld || (cd "$RUN" && slurmctld -f "$RUN/slurm.conf" -L "$RUN/log/slurmctld.log" 9>&- >>"$RUN/log/slurmctld.out" 2>&1)
names=$(sed -n 's/^NodeName=\([^ ]*\) .*/\1/p' "$RUN/slurm.conf")
for n in $names; do
  mkdir -p "$RUN/spool/$n"
  alive "$RUN/slurmd-$n.pid" slurmd || (cd "$RUN" && slurmd -N "$n" -f "$RUN/slurm.conf" -L "$RUN/log/slurmd-$n.log" 9>&- >>"$RUN/log/slurmd-$n.out" 2>&1)
done

want=$(echo "$names" | wc -l)
for _ in $(seq 1 150); do
  alive "$RUN/slurmctld.pid" slurmctld || { echo "up.sh: slurmctld died; see $RUN/log/slurmctld.log" >&2; tail -3 "$RUN/log/slurmctld.log" >&2; exit 1; }
  up=$(timeout 2 sinfo -h -N -o '%N %T' 2>/dev/null | sort -u | grep -cE ' (idle|mixed|allocated|completing)$' || true)
  [ "$up" = "$want" ] && { echo "slurm up: $want nodes, SLURM_CONF=$SLURM_CONF"; exit 0; }
  sleep 0.2
done
echo "up.sh: nodes not up after 30 s" >&2; timeout 5 sinfo -N -l >&2 || true; tail -n 5 "$RUN"/log/*.log >&2; exit 1
