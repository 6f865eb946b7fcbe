#!/usr/bin/env bash
# Make .venv ready: Debian packages that Qt needs, the environment, this package in it.
# usage: PYTHON=python3.12 tools/setup.sh EXTRAS      (the Makefile calls it)
#
# pip is used as the machine has it configured: nothing here names an index.
set -euo pipefail
cd "$(dirname "$0")/.."
extras=${1:?usage: tools/setup.sh EXTRAS}
python=${PYTHON:-python3}

# A real X server with Mesa's software OpenGL: napari draws nothing on Qt's own "offscreen" platform.
packages=(
  xvfb xauth libgl1 libegl1 libdbus-1-3 libfontconfig1 libglib2.0-0 libxkbcommon-x11-0
  libxcb-cursor0 libxcb-icccm4 libxcb-keysyms1 libxcb-shape0
  git # the tests ask it which files are tracked
)

stop() {
  echo "setup: $*" >&2
  exit 1
}

check_python() {
  version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])') ||
    stop "'$python' does not run. Install Python 3.11, 3.12 or 3.13, or name one: make PYTHON=python3.12"
  case $version in
    3.11 | 3.12 | 3.13) ;;
    *) stop "'$python' is Python $version, needed is 3.11, 3.12 or 3.13. Name one: make PYTHON=python3.12" ;;
  esac
  # Debian ships ensurepip, without which no environment gets a pip, apart from Python.
  "$python" -c 'import ensurepip' 2>/dev/null || packages+=("python$version-venv")
}

packages_missing() {
  # A dry run rather than a list of installed names: newer releases provide some under other names.
  plan=$(apt-get install --simulate --no-install-recommends --no-upgrade "${packages[@]}" 2>/dev/null) ||
    return 0 # no package lists yet
  grep -q '^Inst ' <<<"$plan"
}

install_packages() {
  if ! command -v apt-get >/dev/null; then
    echo "setup: no apt-get here; Xvfb and the libraries that Qt needs must be there already" >&2
    return
  fi
  packages_missing || return 0
  if [ "$(id -u)" -ne 0 ]; then
    stop "system packages are missing. Run this once as root, then make again:
  apt-get update && apt-get install --yes --no-install-recommends ${packages[*]}"
  fi
  echo "setup: installing the Debian packages that Qt needs"
  export DEBIAN_FRONTEND=noninteractive
  apt-get update --quiet=2
  apt-get install --quiet=2 --yes --no-install-recommends --no-upgrade "${packages[@]}" >/dev/null
}

make_environment() {
  if [ -x .venv/bin/python ]; then
    found=$(.venv/bin/python -c 'import sys; print("%d.%d" % sys.version_info[:2])' || true)
    [ "$found" = "$version" ] || rm -rf .venv
  fi
  if ! .venv/bin/python -m pip --version >/dev/null 2>&1; then
    echo "setup: making .venv with Python $version"
    "$python" -m venv .venv
  fi
}

install_package() {
  echo "setup: installing napari-xpcs[$extras] and what it needs; the first time takes minutes"
  # Bytecode is compiled here, on all cores, so that the first start of napari is not the slow one.
  .venv/bin/python -m pip install --quiet --quiet --no-compile --constraint constraints.txt --editable ".[$extras]"
  .venv/bin/python -m compileall -q -j 0 .venv/lib src >/dev/null ||
    true # a few packages ship templates that are not Python
}

check_python
install_packages
make_environment
install_package
echo "setup: ready"
