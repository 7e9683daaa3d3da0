#!/usr/bin/env bash
# From a clean clone to a quantized, measured, talking model: `npm run quickstart`.
set -euo pipefail
cd "$(dirname "$0")/.."
bash scripts/setup.sh
npm run --silent build
exec node scripts/quickstart.mjs "$@"
