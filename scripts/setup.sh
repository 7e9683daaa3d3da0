#!/usr/bin/env bash
# Brings a bare Debian 12 with Node 20 and g++ to where the project builds: system packages, then npm packages.
# As root it installs what is missing; otherwise it names the packages in one line and stops.
#   scripts/setup.sh [--tests]     --tests also wants what the native tests need
set -euo pipefail
cd "$(dirname "$0")/.."

packages=(cmake make g++)
if [ "${1:-}" = --tests ]; then packages+=(doctest-dev g++-aarch64-linux-gnu qemu-user); fi

missing=()
if command -v dpkg-query >/dev/null 2>&1; then
  for package in "${packages[@]}"; do
    dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' || missing+=("$package")
  done
fi
if [ "${#missing[@]}" -gt 0 ]; then
  if [ "$(id -u)" = 0 ]; then
    echo "Installing Debian packages: ${missing[*]}"
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq
    apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
  else
    echo "Missing Debian packages. Run: sudo apt-get install -y --no-install-recommends ${missing[*]}" >&2
    exit 1
  fi
fi

# npm keeps its own copy of the lock file; older than ours, or absent, means node_modules is not up to date.
if [ ! node_modules/.package-lock.json -nt package-lock.json ]; then
  echo 'Installing npm packages'
  npm ci --no-audit --no-fund --loglevel=error
  touch node_modules/.package-lock.json
fi
