#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Builds dist/, the JavaScript that is published. `npm run build` runs it after scripts/setup.sh.
set -eu
cd -- "$(dirname -- "$0")/.."
sh scripts/node.sh scripts/bundle.ts
echo 'build: dist/ is ready' >&2
