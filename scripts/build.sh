#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Emits dist/, the JavaScript that is published. Run by `npm run build`, after scripts/setup.sh.
set -eu
cd -- "$(dirname -- "$0")/.."
sh scripts/node.sh scripts/bundle.ts
echo 'build: dist/ is ready' >&2
