#!/bin/sh
# Renews what is made from the option tables: help texts, manual pages, completions. Run it after a change of an option and
# look at the difference.
set -e
cd "$(dirname "$0")/.."
GPDUMP_BLESS=1 cargo test --quiet -p gpcrondump -p gpdbrestore --bins generated
git --no-pager diff --stat -- docs/man completions crates/gpcrondump/tests/help.txt crates/gpdbrestore/tests/help.txt
