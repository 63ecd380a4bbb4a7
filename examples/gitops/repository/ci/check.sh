#!/bin/sh
# The check of a pull request, as plain shell for any CI: is the config good, and what would it do to production?
#
#   COMMIT              the commit of the pull request, pushed; the one that is checked out by default
#   POINTSMAN_ADMIN     the admin API of production; without it only the file is checked
#   POINTSMAN_TOKEN     a token of it with the role read
#   POINTSMAN           the program; `pointsman` by default
set -eu
cd "$(dirname "$0")/.."
pointsman=${POINTSMAN:-pointsman}
"$pointsman" check --config prod/pointsman.toml
if [ -z "${POINTSMAN_ADMIN:-}" ]; then exit 0; fi
code=0
"$pointsman" diff "${COMMIT:-$(git rev-parse HEAD)}" || code=$?
case $code in
    0) ;;
    2) echo "production would not take this commit" >&2; exit 1 ;;
    # That is no fault of the commit, and a repository must not stand still for it.
    *) echo "production could not be asked; the file itself is good" >&2 ;;
esac
