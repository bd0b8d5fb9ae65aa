#!/usr/bin/env bash
# down.sh RUNDIR [--purge] - end exactly what up.sh RUNDIR started.
# Cancels the cluster's jobs, ends the daemons by the pids in RUNDIR (each checked
# against its command line), then any left-over slurmstepd or job process whose
# environment or command line names RUNDIR/slurm.conf.  --purge removes RUNDIR afterwards.
set -uo pipefail
[ $# -ge 1 ] || { echo "usage: $0 RUNDIR [--purge]" >&2; exit 2; }
[ -d "$1" ] || exit 0
RUN=$(cd "$1" && pwd -P); export SLURM_CONF=$RUN/slurm.conf
[ -f "$RUN/slurm.conf" ] || { echo "down.sh: no slurm.conf in $RUN" >&2; exit 2; }
exec 9>"$RUN/.lock"; flock 9
ours() { # ours PID NAME : pid runs NAME out of RUN
  [ -r "/proc/$1/cmdline" ] && tr '\0' ' ' <"/proc/$1/cmdline" | grep -q -- "$2.*$RUN"
}
if timeout 3 scontrol ping 2>/dev/null | grep -q 'is UP'; then
  ids=$(timeout 5 squeue -h -o %A 2>/dev/null | sort -u)
  if [ -n "$ids" ]; then
    timeout 10 scancel $ids 2>/dev/null
    for _ in $(seq 1 50); do [ -z "$(timeout 5 squeue -h 2>/dev/null)" ] && break; sleep 0.2; done
  fi
fi
stop() { # stop PIDFILE NAME
  local pid; pid=$(cat "$1" 2>/dev/null) || return 0
  [ -n "$pid" ] && ours "$pid" "$2" || { rm -f "$1"; return 0; }
  kill -TERM "$pid" 2>/dev/null
  for _ in $(seq 1 100); do ours "$pid" "$2" || break; sleep 0.1; done   # a zombie has no cmdline: counts as gone
  if ours "$pid" "$2"; then kill -KILL "$pid" 2>/dev/null; fi
  rm -f "$1"
}
for f in "$RUN"/slurmd-*.pid; do p=$(cat "$f" 2>/dev/null) && [ -n "$p" ] && ours "$p" slurmd && kill -TERM "$p"; done   # all at once,
for f in "$RUN"/slurmd-*.pid; do [ -e "$f" ] && stop "$f" slurmd; done                                              # then wait for each
# slurmstepds and job processes that outlived their slurmd: they carry SLURM_CONF=RUN/slurm.conf
# AND a SLURM_JOB_ID (so a shell that merely sourced env.sh is left alone), or are slurmstepd.
me=$$
left() {
  for d in /proc/[0-9]*; do
    p=${d#/proc/}; [ "$p" = "$me" ] && continue
    e=$(tr '\0' '\n' 2>/dev/null <"$d/environ") || continue
    case $'\n'"$e"$'\n' in *$'\n'"SLURM_CONF=$RUN/slurm.conf"$'\n'*) ;; *) continue ;; esac
    case $'\n'"$e" in *$'\n'SLURM_JOB_ID=*) echo "$p"; continue ;; esac
    [ "$(cat "$d/comm" 2>/dev/null)" = slurmstepd ] && echo "$p"
  done
}
pids=$(left); [ -n "$pids" ] && { kill -TERM $pids 2>/dev/null; sleep 0.5; pids=$(left); [ -n "$pids" ] && kill -KILL $pids 2>/dev/null; }
stop "$RUN/slurmctld.pid" slurmctld
stopdbd() { # slurmdbd has no path on its command line; its environment names RUN/slurm.conf
  local pid; pid=$(cat "$RUN/slurmdbd.pid" 2>/dev/null) && [ -n "$pid" ] || return 0
  dbd() { tr '\0' ' ' 2>/dev/null <"/proc/$pid/cmdline" | grep -q slurmdbd && tr '\0' '\n' 2>/dev/null <"/proc/$pid/environ" | grep -qx "SLURM_CONF=$RUN/slurm.conf"; }
  dbd || return 0; kill -TERM "$pid"; for _ in $(seq 1 100); do dbd || break; sleep 0.1; done; if dbd; then kill -KILL "$pid"; fi
}
stopdbd
stop "$RUN/db/m.pid" mariadbd
stop "$RUN/munge/munged.pid" munged
[ "${2:-}" = --purge ] && rm -rf "$RUN"
exit 0
