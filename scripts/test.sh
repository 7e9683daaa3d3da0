#!/usr/bin/env bash
# Everything that must pass before a change lands: `npm test`. Arguments name suites, see scripts/test.mjs.
set -euo pipefail
cd "$(dirname "$0")/.."
bash scripts/setup.sh --tests
exec node scripts/test.mjs "$@"
