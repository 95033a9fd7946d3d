#!/usr/bin/env bash
# Makes a checkout ready to build: Debian packages (only missing ones), .venv, pinned Python packages.
# Usage: scripts/setup.sh [--bench]     --bench also installs the peers of `make bench`.
# TAUT_SKIP_PACKAGES=1 leaves system packages alone (other distributions, no root).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

fail() {
  echo "error: $*" >&2
  exit 2
}

case "$*" in
  "" | "--bench") ;;
  *) fail "unknown arguments \"$*\", scripts/setup.sh, usage: scripts/setup.sh [--bench]" ;;
esac

# Commands that must be there, with the package that brings each; a command installed by other means counts.
readonly tools=(
  g++:g++ make:make cmake:cmake ninja:ninja-build ccache:ccache git:git pkg-config:pkg-config protoc:protobuf-compiler)
readonly libraries=(
  libhwy-dev libonnx-dev libprotobuf-dev libcli11-dev libtomlplusplus-dev nlohmann-json3-dev libspdlog-dev
  libfmt-dev libgloo-dev libgtest-dev libgmock-dev libbenchmark-dev libxxhash-dev libjpeg-dev libpng-dev zlib1g-dev)

# The first Python of at least 3.11, or nothing.
find_python() {
  local name
  for name in python3 python3.13 python3.12 python3.11; do
    if "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
      command -v "$name"
      return
    fi
  done
}

missing_packages() {
  local entry installed
  for entry in "${tools[@]}"; do
    command -v "${entry%%:*}" >/dev/null || echo "${entry#*:}"
  done
  # The status of all libraries in one call: starting dpkg-query once for each would take a second.
  installed=" $(dpkg-query --show --showformat '${db:Status-Status}:${Package} ' "${libraries[@]}" 2>/dev/null || true)"
  for entry in "${libraries[@]}"; do
    [[ "$installed" == *" installed:$entry "* ]] || echo "$entry"
  done
  # An existing .venv needs no module to make one.
  if [[ ! -x .venv/bin/python ]]; then
    local python
    python=$(find_python)
    if [[ -z "$python" ]]; then
      echo python3 python3-venv
    elif ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
      echo python3-venv
    fi
  fi
}

install_packages() {
  [[ "${TAUT_SKIP_PACKAGES:-0}" == 1 ]] && return
  command -v dpkg-query >/dev/null ||
    fail "this is not Debian or Ubuntu, scripts/setup.sh, install $(printf '%s ' "${tools[@]%%:*}" "${libraries[@]}")yourself and set TAUT_SKIP_PACKAGES=1"
  local missing
  mapfile -t missing < <(missing_packages | tr ' ' '\n')
  ((${#missing[@]} == 0)) && return
  local as_root=()
  if ((EUID != 0)); then
    command -v sudo >/dev/null ||
      fail "Debian packages are missing and there is no sudo, scripts/setup.sh, as root run: apt-get install ${missing[*]}"
    as_root=(sudo)
  fi
  echo "setup: installing Debian packages: ${missing[*]}" >&2
  "${as_root[@]}" apt-get update -qq >&2 || fail "apt-get update failed, see above, check the network and the package sources"
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >&2 ||
    fail "apt-get could not install ${missing[*]}, see above, install them by hand"
}

make_venv() {
  [[ -x .venv/bin/python ]] && return
  local python
  python=$(find_python)
  [[ -n "$python" ]] || fail "no Python of version 3.11 or newer, PATH, install python3 (3.11+) and its venv module"
  echo "setup: making .venv with $python" >&2
  "$python" -m venv --clear .venv >&2 || fail "cannot make a virtual environment, .venv, install python3-venv"
}

# install_requirements FILE: unless the stamp in .venv says that this very file is installed already.
install_requirements() {
  local file=$1 stamp=.venv/.taut-$1.sha256 wanted quiet=(--quiet)
  wanted=$(sha256sum "$file")
  [[ -f "$stamp" && "$(<"$stamp")" == "$wanted" ]] && return
  [[ -t 2 ]] && quiet=()
  echo "setup: installing Python packages from $file (some hundred megabytes the first time)" >&2
  .venv/bin/python -m pip install --disable-pip-version-check "${quiet[@]}" -r "$file" >&2 ||
    fail "pip could not install the packages, $file, check the network and run again"
  echo "$wanted" >"$stamp"
}

install_packages
make_venv
install_requirements requirements.txt
if [[ "${1:-}" == --bench ]]; then
  install_requirements requirements-bench.txt
fi
