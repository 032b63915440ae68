#!/usr/bin/env bash
# Run a command beside a throw-away Slurm of one node, which ends with it, however it ends.
#
#     tests/slurm/with_slurm.sh python -m pytest -m slurm tests/slurm
#
# Needs root, for slurmd starts jobs as their users; installs Debian's packages where they are absent.
# GPUS null devices stand for GPUs: Slurm hands them out and sets CUDA_VISIBLE_DEVICES as for real ones.
# Never started where a Slurm is set up already, since jobs look for its configuration in one place.
set -euo pipefail

GPUS=${GPUS:-2}
# nproc takes OMP_NUM_THREADS, which is 1 for the tests, for the number of processors
CPUS=${CPUS:-$(env -u OMP_NUM_THREADS nproc)}
DEFAULT=/etc/slurm
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

fail() { echo "error: $*" >&2; exit 1; }

[ $# -gt 0 ] || fail "name the command to run beside Slurm"
[ "$(id -u)" = 0 ] || fail "a Slurm of one's own needs root; run this in a container, or as root"
for name in slurm.conf gres.conf; do
  # a link that leads nowhere was left by a run that was killed
  [ -e "$DEFAULT/$name" ] && fail "$DEFAULT/$name is there already: this machine has a Slurm, which is left alone"
done
absent=
for tool in slurmctld slurmd sbatch munged; do command -v $tool >/dev/null || absent="$absent $tool"; done
if [ -n "$absent" ]; then
  command -v apt-get >/dev/null || fail "not found:$absent; install Slurm and munge"
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -qq
  apt-get install -y -qq --no-install-recommends slurmctld slurmd slurm-client munge >/dev/null
fi

PLACE=$(mktemp -d)
chmod 755 "$PLACE"

stop() {
  set +e
  scancel --full --signal=KILL --state=RUNNING 2>/dev/null
  for file in slurmd.pid slurmctld.pid munge/pid; do
    pid=$(cat "$PLACE/$file" 2>/dev/null) && kill "$pid" 2>/dev/null
    for _ in $(seq 50); do [ -n "$pid" ] && kill -0 "$pid" 2>/dev/null || break; sleep .1; done
  done
  for name in slurm.conf gres.conf; do
    [ "$(readlink "$DEFAULT/$name")" = "$PLACE/$name" ] && rm -f "$DEFAULT/$name"
  done
  rm -rf "$PLACE"
}
trap stop EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

mkdir -p "$PLACE/controller" "$PLACE/node" "$PLACE/munge" "$DEFAULT"
chmod 700 "$PLACE/munge"
dd if=/dev/urandom of="$PLACE/munge/key" bs=1024 count=1 status=none
chmod 400 "$PLACE/munge/key"
MEMORY=$(awk '/MemTotal/ {print int($2 / 1024) - 256}' /proc/meminfo)
sed -e "s#@PLACE@#$PLACE#g; s#@CPUS@#$CPUS#; s#@MEMORY@#$MEMORY#; s#@GPUS@#$GPUS#; s#@HOST@#$(hostname -s)#" \
  "$HERE/slurm.conf.in" >"$PLACE/slurm.conf"
for gpu in $(seq 0 $((GPUS - 1))); do
  mknod "$PLACE/gpu$gpu" c 1 3
  echo "NodeName=localhost Name=gpu File=$PLACE/gpu$gpu" >>"$PLACE/gres.conf"
done
# jobs that Snakemake starts have no SLURM_CONF, so the usual place has to lead here as well
for name in slurm.conf gres.conf; do ln -sfn "$PLACE/$name" "$DEFAULT/$name"; done
export SLURM_CONF=$PLACE/slurm.conf

munged --force --key-file="$PLACE/munge/key" --socket="$PLACE/munge.socket" --num-threads=2 \
  --pid-file="$PLACE/munge/pid" --log-file="$PLACE/munge/log" --seed-file="$PLACE/munge/seed"
slurmctld -i -f "$SLURM_CONF"
slurmd -N localhost -f "$SLURM_CONF"
for _ in $(seq 120); do
  [ "$(sinfo --noheader --format %T 2>/dev/null)" = idle ] && break
  sleep .25
done
if [ "$(sinfo --noheader --format %T 2>/dev/null)" != idle ]; then
  tail -n 20 "$PLACE"/*.log >&2
  fail "Slurm did not start"
fi

# not exec: the node has to be stopped afterwards
"$@"
