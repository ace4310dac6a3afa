# What the benches of nights share; sourced by them, with `dir` set to a folder. Each tool has a repository r-NAME of its own.
#
# Uses TOOLS (which tools; by default those that are installed, of `known`), NIGHTSAFE (the program) and KEEP.
# shellcheck shell=bash disable=SC2154,SC2034
here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
seed=7
nightsafe=${NIGHTSAFE:-$here/target/release/nightsafe}
mkdir -p "$dir" && chmod a+x "$dir"
cd "$dir" || exit
export HOME=$dir/home NIGHTSAFE_CACHE_DIR=$dir/cache NIGHTSAFE_PASSWORD='eleven grey geese over the weir'
export RESTIC_PASSWORD=x RESTIC_CACHE_DIR=$dir/restic-cache RUSTIC_PASSWORD=x BORG_PASSPHRASE=x BORG_BASE_DIR=$dir/borg-base
mkdir -p "$HOME"

# Those of the tools named that are installed.
installed() {
  local tool found=()
  for tool; do
    case $tool in nightsafe*) found+=("$tool") ;; *) ! command -v "${tool%%-*}" >/dev/null || found+=("$tool") ;; esac
  done
  printf '%s ' "${found[@]}"
}
build() { [ -x "$nightsafe" ] || (cd "$here" && cargo build --release); }

# A server of one's own, with an empty database `app`.
serve() {
  server=$dir/server
  trap '"$here/scripts/postgres" stop "$server"' EXIT
  "$here/scripts/postgres" stop "$server"
  eval "$("$here/scripts/postgres" start "$server")"
  # Autovacuum stays as it is by default; a checkpoint less often only makes the fill faster.
  psql -qX -c "alter system set max_wal_size = '4GB'" -c 'select pg_reload_conf()' -c 'create database app' >/dev/null
}
evolve() { # night: brings the database to the state after that night
  psql -qX -d app -v night="$1" -v scale="$scale" -v seed="$seed" -f "$here/benches/databases.sql" >/dev/null
}
timed() { # command…: its seconds and peak memory in KiB, in `taken`; its output is shown if it fails
  if ! /usr/bin/time -f '%e %M' -o taken.txt "$@" >output.txt 2>&1; then
    cat output.txt >&2
    echo "${0##*/}: failed: $*" >&2
    exit 1
  fi
  taken=$(tail -1 taken.txt)
}
size() { du -sb "$1" | cut -f1; }
note() { printf '%s\t' "$@" | sed 's/\t$//' | tr ' ' '\t' >>results; echo >>results; }
# Makes an empty repository for each tool: the name up to the first `:` says which.
repositories() {
  local tool
  for tool; do
    rm -rf "r-$tool"
    case $tool in
      nightsafe*) timed "$nightsafe" -r "r-$tool" init ;;
      restic*) timed restic -r "r-$tool" init ;;
      rustic*) timed rustic -r "r-$tool" init ;;
      borg*) timed borg init -e repokey-blake2 "r-$tool" ;;
      *) echo "${0##*/}: no tool named $tool" >&2; exit 2 ;;
    esac
  done
}
# Backs up with a tool and notes what its repository grew by; `command` is what is run.
night_of() { # tool night
  local before
  before=$(size "r-$1")
  timed "${command[@]}"
  note "$2" "$1" "$(($(size "r-$1") - before))" "$taken"
  printf '  %-24s %9.2f MB  %7s s\n' "$1" "$(($(size "r-$1") - before))e-6" "${taken% *}"
}
